"""What the pages that are open work on: photos and results in a private folder, which goes with each page."""

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inpaint.errors import UserError
from inpaint.web import answers
from inpaint.web.filling import Filling, Inpainters
from inpaint.web.steps import Missing, Step
from inpaint.web.work import Queue, Task

IDLE = 3600.0  # seconds without a request, after which a session is forgotten,
ALONE = 600.0  # and after its page was closed,
PATIENCE = 10.0  # and after which its fill is cancelled: a page that is only reloaded is back before
MOST_STEPS, MOST_SESSIONS = 100, 200


class Session:
    """What one page works on: a photo, then what became of it, and so on.

    Args:
        folder: for its files alone; it is made.
        more: see `Filling`.
    """

    def __init__(self, name: str, folder: Path, queue: Queue, inpainters: Inpainters, more: str) -> None:
        self.id, self.folder, self.queue, self.inpainters, self.more = name, folder, queue, inpainters, more
        folder.mkdir(mode=0o700)
        self.lock = threading.RLock()  # held while steps, strokes or the fill change
        self.steps: list[Step] = []
        self.made = 0  # how many steps there have been
        self.task: Task | None = None
        self.running: list[Task] = []  # that task, and those before it of which a last step may still run
        self.filling: Filling | None = None
        self.listeners = 0  # pages that are open
        self.used = time.monotonic()
        self.left: float | None = None  # when the last page was closed

    def step(self, number: int) -> Step:
        """A step by its number; raises `Missing`."""
        if not 0 <= number < len(self.steps):
            raise Missing(f"There is no step {number} here (any more).")
        return self.steps[number]

    def begin(self, photo: Path, name: str, max_pixels: int) -> None:
        """Makes a step of a photo's file, which is moved; raises as `Step`."""
        if len(self.steps) >= MOST_STEPS:
            raise UserError(f"There are {MOST_STEPS} steps already: keep the result, and start again with it.")
        original = self.steps[0].original if self.steps else name
        self.made += 1
        folder = self.folder / f"step_{self.made}"
        try:
            self.steps.append(Step(folder, photo, name, len(self.steps), original, max_pixels))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def go_on(self, step: Step, number: int) -> None:
        """Makes a result the photo of the next step; later steps are forgotten.

        Raises:
            Missing: there is no such result, or it was a preview.
            UserError: there are too many steps.
        """
        result = step.result(number)
        result.wait()
        with self.lock:
            self.cancel()
            self.task = self.filling = None  # of a step that may be forgotten now
            for later in self.steps[step.number + 1 :]:
                shutil.rmtree(later.folder, ignore_errors=True)
            del self.steps[step.number + 1 :]
            copy = self.folder / f"next{result.file.suffix}"
            shutil.copyfile(result.file, copy)
            self.begin(copy, step.target, step.max_pixels)

    def fill(self, step: Step, wish: answers.Wish) -> None:
        """Begins to fill a step; what was filling before is cancelled.

        Raises:
            UserError: nothing is marked, or too much; too many fills wait.
        """
        with self.lock:
            if step.mask is None:
                raise UserError("Nothing is marked: paint over what is to go.")
            if step.mask.problem is not None:
                raise UserError(step.mask.problem)
            self.queue.check_room()
            self.cancel()
            self.filling = Filling(step, wish, self.inpainters, self.more)
            self.task = Task(self.filling)
            self.running = [*(task for task in self.running if not task.ended.done()), self.task]
            self.queue.add(self.task)

    def cancel(self) -> None:
        """Cancels the fill, if there is one."""
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Cancels the fill, and removes the files, as soon as nothing writes any."""
        self.cancel()
        for task in self.running:
            task.ended.add_done_callback(lambda _: shutil.rmtree(self.folder, ignore_errors=True))
        shutil.rmtree(self.folder, ignore_errors=True)

    def answer(self) -> answers.Session:
        """What the page is told of it."""
        with self.lock:
            return answers.Session(id=self.id, steps=[step.answer() for step in self.steps], fill=self.state())

    def state(self) -> answers.Fill | None:
        """How far the fill is; None if there was none."""
        task, filling = self.task, self.filling
        if task is None or filling is None:
            return None
        return answers.Fill(
            step=filling.step.number,
            state=task.state,
            place=self.queue.place(task),
            share=task.share,
            seconds_left=task.seconds_left,
            error=task.error,
            done=filling.done,
            of=filling.wish.variants,
        )

    def event(self) -> answers.Event:
        """What changes while a fill runs."""
        filling = self.filling
        results = filling.step.results if filling else []
        return answers.Event(fill=self.state(), results=[result.answer for result in results])


class Sessions:
    """All sessions by their names, which nobody can guess.

    Args:
        folder: for their files alone.
        make: makes a session of its name and its folder.
    """

    def __init__(self, folder: Path, make: Callable[[str, Path], Session]) -> None:
        self.folder, self.make = folder, make
        self.all: dict[str, Session] = {}

    def new(self) -> Session:
        """A session with no photo yet.

        Raises:
            UserError: there are too many.
        """
        if len(self.all) >= MOST_SESSIONS:
            raise UserError(f"{MOST_SESSIONS} pages are open already: try again in a while.")
        name = secrets.token_urlsafe(16)
        self.all[name] = self.make(name, self.folder / name)
        return self.all[name]

    def get(self, name: str) -> Session:
        """The session of a name, which from now on is used again; raises `Missing`."""
        if name not in self.all:
            raise Missing("This page was left for too long, or the server was started anew: start again.")
        self.all[name].used = time.monotonic()
        return self.all[name]

    def forget(self, name: str) -> None:
        """Ends a session, if there is one."""
        if (session := self.all.pop(name, None)) is not None:
            session.close()

    def sweep(self) -> None:
        """Cancels the fills of pages that were closed, and forgets what nobody has used for long."""
        now = time.monotonic()
        for name, session in list(self.all.items()):
            away = now - session.left if session.left is not None and not session.listeners else 0.0
            busy = session.task is not None and not session.task.over
            if busy:
                session.used = now
            if away > PATIENCE:
                session.cancel()
            if away > ALONE or (now - session.used > IDLE):
                self.forget(name)
