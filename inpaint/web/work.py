"""The queue: fills wait for a device, one at a time on each, and can be cancelled."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Literal

from inpaint.errors import UserError
from inpaint.web.room import Busy

MOST_WAITING = 100  # tasks,
MOST_HELD = 1000  # and with those that were cancelled, which keep their places until their turn comes
State = Literal["waiting", "preview", "filling", "done", "cancelled", "failed"]


class Cancelled(Exception):
    """A task was cancelled while it ran."""


class Task:
    """Work that waits for a device, and says how far it is.

    Args:
        work: is given the device and this task; it calls `task.progress` often, which is where it ends once it is
            cancelled.
        counts: whether others are told that they wait for it.
    """

    def __init__(self, work: "Callable[[str, Task], None]", counts: bool = True) -> None:
        self.work, self.counts = work, counts
        self.stage: State = "waiting"
        self.cancelled = False
        self.share = 0.0  # of the work that is done,
        self.noted = 0.0  # as it was at this time
        self.began: float | None = None
        self.error: str | None = None
        self.ended: Future[None] = Future()  # when nothing of it runs any more

    @property
    def state(self) -> State:
        """How it stands. What is cancelled is so at once, even while a last step of it still runs."""
        return "cancelled" if self.cancelled else self.stage

    def progress(self, share: float) -> None:
        """Notes how far it is; raises `Cancelled` if nobody wants it any more."""
        if self.cancelled:
            raise Cancelled
        self.share, self.noted = share, time.monotonic()

    def enter(self, state: State) -> None:
        """Notes what is done now, as `progress` does."""
        self.progress(self.share)
        self.stage = state

    @property
    def over(self) -> bool:
        """Whether nobody has to wait for it any more."""
        return self.state in ("done", "cancelled", "failed")

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None while there is nothing to go by."""
        if self.began is None or self.over or self.share < 0.02:
            return None
        left = (self.noted - self.began) * (1 - self.share) / self.share
        return max(left - (time.monotonic() - self.noted), 0.0)

    def cancel(self) -> None:
        """Ends it: at once if it waits, else at its next step."""
        if not self.over:
            self.cancelled = True

    def run(self, device: str) -> None:
        """Does the work; whatever goes wrong becomes a sentence in `error`."""
        try:
            self.progress(0.0)
            self.began = time.monotonic()
            self.work(device, self)
            self.progress(1.0)
            self.stage = "done"
        except Cancelled:
            pass
        except UserError as error:
            self.error, self.stage = str(error), "failed"
        except Exception:  # a fault of ours costs one fill, not the server
            logging.getLogger("uvicorn.error").exception("A fault in a fill:")
            self.error, self.stage = "The server has a fault, which its log tells.", "failed"
        finally:
            self.ended.set_result(None)


class Queue:
    """Gives tasks to devices, the first come first."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.free: SimpleQueue[str] = SimpleQueue()
        for device in devices:
            self.free.put(device)
        self.pool = ThreadPoolExecutor(len(devices), "fill")
        self.lock = threading.Lock()
        self.tasks: list[Task] = []  # that wait or run
        self.closed = False

    def check_room(self) -> None:
        """Raises `Busy` if too many tasks wait already."""
        with self.lock:
            if sum(not task.over for task in self.tasks) >= MOST_WAITING or len(self.tasks) >= MOST_HELD:
                raise Busy(f"{MOST_WAITING} fills wait already: try again in a while.")

    def add(self, task: Task) -> None:
        """Appends a task; once the queue is closed, it is cancelled instead."""
        with self.lock:
            if self.closed:
                task.cancel()
                task.ended.set_result(None)
                return
            self.tasks.append(task)
            self.pool.submit(self.run, task)

    def run(self, task: Task) -> None:
        """Runs a task on a device that is free, as there are as many as threads."""
        device = self.free.get()
        try:
            task.run(device)
        finally:
            self.free.put(device)
            with self.lock:
                self.tasks.remove(task)

    def place(self, task: Task) -> int:
        """How many tasks come before this one, those that run among them; 0 when it runs."""
        with self.lock:
            if task.state != "waiting" or task not in self.tasks:
                return 0
            return sum(other.counts and not other.over for other in self.tasks[: self.tasks.index(task)])

    def close(self) -> None:
        """Cancels all tasks, and waits until nothing runs."""
        with self.lock:
            self.closed = True
            for task in self.tasks:
                task.cancel()
        self.pool.shutdown()
