"""What the pages that are open work on: photos and results in a private folder, which goes with each page."""

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inpaint.errors import UserError
from inpaint.web import answers
from inpaint.web.filling import Filling, Inpainters
from inpaint.web.room import Busy
from inpaint.web.steps import GONE, Missing, Result, Step
from inpaint.web.work import Queue, Task

IDLE = 3600.0  # seconds without use, after which a session is forgotten,
ALONE = 600.0  # and after its last sign of life, while no page listens;
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
        # when there was the last request, the last that did something, the last page that was open, the last fill
        self.asked = self.used = self.left = self.worked = time.monotonic()

    def step(self, number: int) -> Step:
        """A step by its number; raises `Missing`."""
        for step in self.steps:
            if step.number == number:
                return step
        raise Missing(f"There is no step {number} here (any more).")

    @contextmanager
    def holding(self, step: Step) -> Iterator[None]:
        """Within it, nothing else changes the session; raises `Missing` if the step, or a file of it, is gone."""
        with self.lock:
            self.step(step.number)
            try:
                yield
            except FileNotFoundError:
                raise Missing(GONE) from None

    def begin(self, photo: Path, name: str, max_pixels: int) -> None:
        """Makes the first step of a photo's file, which is moved; raises as `Step`."""
        self.steps = [self.new_step(photo, name, 0, name, max_pixels)]

    def new_step(self, photo: Path, name: str, position: int, original: str, max_pixels: int) -> Step:
        """A step that is none of the session's yet, see `Step`; if there can be none, nothing is left of it."""
        number, self.made = self.made, self.made + 1
        folder = self.folder / f"step_{number}"
        try:
            return Step(folder, photo, name, number, position, original, max_pixels)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def go_on(self, step: Step, result: Result) -> None:
        """Makes a result that is ready the photo of the next step; later steps are forgotten.

        Raises:
            Missing: the step or the result is not there any more.
            UserError: there are too many steps, or as `Step`; then all stays as it was.
        """
        with self.holding(step):
            position = self.steps.index(step) + 1
            if position >= MOST_STEPS:
                raise UserError(f"There are {MOST_STEPS} steps already: keep the result, and start again with it.")
            copy = self.folder / f"next{result.file.suffix}"
            try:
                shutil.copyfile(result.file, copy)
                new = self.new_step(copy, step.target, position, self.steps[0].original, step.max_pixels)
            finally:
                copy.unlink(missing_ok=True)
            self.cancel()
            self.task = self.filling = None  # of a step that may be forgotten now
            for later in self.steps[position:]:
                shutil.rmtree(later.folder, ignore_errors=True)
            self.steps[position:] = [new]

    def fill(self, step: Step, wish: answers.Wish) -> None:
        """Begins to fill a step; what was filling before is cancelled.

        Raises:
            Missing: the step is not there any more.
            UserError: nothing is marked, or too much.
            Busy: too many fills wait.
        """
        with self.holding(step):
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
            first=filling.first,
            state=task.state,
            place=self.queue.place(task),
            share=task.share,
            seconds_left=task.seconds_left,
            error=task.error,
            done=len(filling.results),
            of=filling.wish.variants,
        )

    def event(self) -> answers.Event:
        """What changes while a fill runs."""
        filling = self.filling
        results = filling.step.all_results() if filling else []
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
            Busy: there are too many.
        """
        if len(self.all) >= MOST_SESSIONS:
            raise Busy(f"{MOST_SESSIONS} pages are open already: try again in a while.")
        name = secrets.token_urlsafe(16)
        self.all[name] = self.make(name, self.folder / name)
        return self.all[name]

    def get(self, name: str, used: bool = True) -> Session:
        """The session of a name, which gives a sign of life by that, and may be used; raises `Missing`."""
        if name not in self.all:
            raise Missing("This page was left for too long, or the server was started anew: start again.")
        session = self.all[name]
        session.asked = time.monotonic()
        if used:
            session.used = session.asked
        return session

    def forget(self, name: str) -> None:
        """Ends a session, if there is one."""
        if (session := self.all.pop(name, None)) is not None:
            session.close()

    def sweep(self) -> None:
        """Cancels the fills of pages that are gone, and forgets what nobody has used for long."""
        now = time.monotonic()
        for name, session in list(self.all.items()):
            if session.task is not None and not session.task.over:
                session.worked = now
            away = 0.0 if session.listeners else now - max(session.asked, session.left)
            if away > PATIENCE:
                session.cancel()
            if away > ALONE or now - max(session.used, session.worked) > IDLE:
                self.forget(name)
