"""One photo of a session, in a folder of its own: what is painted over it, and what it is filled with."""

import asyncio
import shlex
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from inpaint.errors import UserError
from inpaint.files import fitting
from inpaint.fill.report import enlarged
from inpaint.imaging.marked import Marked
from inpaint.imaging.reading import SUFFIXES
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import read_photo, target_for
from inpaint.photo.masks import as_mask, checked_mask
from inpaint.web import answers
from inpaint.web.room import check_memory
from inpaint.web.shown import Shown, extent, show, write_overlay
from inpaint.web.strokes import MOST_POINTS, MOST_WORK, File, Stroke, Whole, paint, work
from inpaint.web.work import Task

GO_ON = "save the mask, press Clear, load it, and go on."
MOST_MASKS = 20  # files a step
GONE = "This is not there any more: something else took its place."
READING = threading.Lock()  # held while a whole photo is worked on beside the fills: one at a time, so memory suffices


class Missing(Exception):
    """What was asked for is not there (any more); the message says what."""


@dataclass
class Result:
    """A filled photo. Its file and its report are there when its answer says that they are ready."""

    answer: answers.Result
    picture: Shown  # the part that changed
    file: Path
    mask: Path  # that it was made with
    report: Path
    task: Task

    async def wait(self) -> None:
        """Waits until its file is written, and holds no thread; raises `Missing` if it never will be."""
        while not self.answer.ready and not self.answer.preview and not self.task.ended.done():
            await asyncio.sleep(0.05)
        if not self.answer.ready:
            raise Missing("This was never written: it is a preview, or its fill was cancelled.")


class Step:
    """A photo that something is removed from.

    Args:
        folder: for its files alone; it is made.
        photo: a file, which is moved there.
        name: what a person calls it: no path, but with an extension.
        number: which no other step of its session ever had.
        position: how many steps lead to it.
        original: what the session's first photo was called.
        max_pixels: a photo that declares more is refused.

    Raises:
        UserError: the photo cannot be read, or does not fit into memory.
    """

    def __init__(
        self, folder: Path, photo: Path, name: str, number: int, position: int, original: str, max_pixels: int
    ) -> None:
        self.folder, self.name, self.number, self.original = folder, name, number, original
        self.max_pixels = max_pixels
        folder.mkdir(mode=0o700)
        suffix = Path(name).suffix.lower()
        self.photo = folder / f"photo{suffix if suffix in SUFFIXES else ''}"
        shutil.move(photo, self.photo)
        first = Path(target_for(Path(original)).name)
        self.target = first.name if position == 0 else fitting(first.stem, f"_{position + 1}{first.suffix}")
        self.mask_name = fitting(Path(name).stem, "_mask.png")
        with called(self.photo, name), READING:
            check_memory(self.photo, max_pixels)
            read = read_photo(self.photo, max_pixels)
            self.size, self.picture = read.size, show(read, folder / "picture")
        self.strokes: list[Stroke] = []
        self.painted = np.packbits(np.zeros(self.size, dtype=bool))  # what they mark, eight pixels a byte
        self.masks = 0  # how many mask files there have been
        self.mask: answers.Mask | None = None
        self.lock = threading.Lock()  # held while the following change
        self.results: list[Result] = []  # of the last fill of which a variant was written,
        self.kept = 0  # which has this number
        self.coming: list[Result] = []  # of a newer one, of which none was written yet: its preview, or a variant
        self.versions = self.fills = self.made = 0  # how many masks, fills and results there have been

    @property
    def overlay(self) -> Path:
        """The file of what is marked, and of its enlargement, as the page shows them."""
        return self.folder / "overlay.png"

    @property
    def mask_file(self) -> Path:
        """The file of what is marked."""
        return self.folder / "mask.png"

    def upload_mask(self, path: Path, name: str) -> str:
        """Takes a mask file, and returns what strokes call it.

        Raises:
            UserError: it cannot be understood as a mask of this photo, or there are too many.
        """
        if self.masks >= MOST_MASKS:
            raise UserError(f"There are {MOST_MASKS} masks already: start again with the photo.")
        with called(path, name), READING:
            marked = as_mask(path, self.size, max_pixels=self.max_pixels)
        name = str(self.masks + 1)
        np.save(self.folder / f"uploaded_{name}.npy", np.packbits(marked))
        self.masks += 1
        return name

    def uploaded(self, name: str) -> Marked:
        """What an uploaded mask file marks."""
        return self.unpacked(np.load(self.folder / f"uploaded_{name}.npy", allow_pickle=False))

    def paint(self, strokes: list[Stroke]) -> answers.Mask | None:
        """Marks what the strokes mark, instead of what was marked before; None if that is nothing.

        Raises:
            UserError: there are too many points, or the strokes would take too long.
            Missing: there is no such mask file.
        """
        cleared = max(
            (at for at, one in enumerate(strokes) if isinstance(one, Whole) and one.tool == "clear"), default=0
        )
        counted = strokes[cleared:]  # what was before does not show
        if sum(len(stroke.points) for stroke in counted if not isinstance(stroke, File | Whole)) > MOST_POINTS:
            raise UserError(f"The strokes have more than {MOST_POINTS} points: {GO_ON}")
        if sum(work(stroke, self.size) for stroke in counted) > MOST_WORK:
            raise UserError(f"The strokes are too many and too large to be painted: {GO_ON}")
        names = {stroke.file for stroke in strokes if isinstance(stroke, File)}
        if missing := names - {str(number + 1) for number in range(self.masks)}:
            raise Missing(f"There is no mask file {min(missing)!r} here.")
        with READING:
            before = len(self.strokes) if strokes[: len(self.strokes)] == self.strokes else 0  # are painted already
            marked = self.unpacked(self.painted) if before > cleared else np.zeros(self.size, dtype=bool)
            paint(marked, strokes[max(before, cleared) :], self.uploaded)
            painted = np.packbits(marked)
            if not marked.any():
                self.strokes, self.painted, self.mask = strokes, painted, None
                return None
            mask = enlarge(marked)
            problem = None
            try:
                checked_mask(marked, self.size, "The mask")
                mask.check_leaves()
            except UserError as error:
                problem = str(error)
            box = extent(mask.weights > 0)
            new = [path.with_name(f"new_{path.name}") for path in (self.overlay, self.mask_file)]
            write_overlay(marked, mask, box, new[0])
            Image.fromarray(marked).save(new[1])
            for path in new:  # both are whole
                path.replace(path.with_name(path.name.removeprefix("new_")))
            self.versions += 1
            self.strokes, self.painted = strokes, painted
        lines = [enlarged(*mask.dilate).strip(" ,"), *mask.remarks("press Swap")]
        self.mask = answers.Mask(
            version=self.versions, box=box, marked=mask.marked, share=mask.share, lines=lines, problem=problem
        )
        return self.mask

    def unpacked(self, bits: np.ndarray) -> Marked:
        """What is marked, a pixel a byte."""
        height, width = self.size
        return np.unpackbits(bits, count=height * width).view(bool).reshape(self.size)

    def all_results(self) -> list[Result]:
        """The variants, then the preview while its fill runs; or the variants that take their place."""
        coming = [result for result in self.coming if not result.task.over]
        return coming if any(not result.answer.preview for result in coming) else [*self.results, *coming]

    def remove_files(self, *but: int) -> None:
        """Removes the files of all fills but these numbers."""
        for file in (*self.folder.glob("fill_*"), *self.folder.glob("mask_*")):
            if int(file.stem.split("_")[1]) not in but:
                with suppress(OSError):
                    file.unlink()

    def result(self, number: int) -> Result:
        """A result by its number; raises `Missing`."""
        for result in self.all_results():
            if result.answer.number == number:
                return result
        raise Missing(f"There is no result {number} of this photo (any more).")

    def command(self, preset: str, seed: int, device: str, more: str) -> str:
        """The command that writes the same file."""
        photo, mask, target = (
            f"./{name}" if name.startswith("-") else name for name in (self.name, self.mask_name, self.target)
        )
        words = ["python", "-m", "inpaint.fill", photo, "--mask", mask]
        words += ["--preset", preset] if preset != "default" else []
        words += ["--seed", str(seed)] if seed else []
        words += ["--device", device] if device != "auto" else []
        words += ["-o", target] if self.target != target_for(Path(self.name)).name else []
        return shlex.join(words) + more

    def answer(self) -> answers.Step:
        """What the page is told of it."""
        height, width = self.size
        return answers.Step(
            number=self.number,
            name=self.name,
            width=width,
            height=height,
            strokes=self.strokes,
            mask=self.mask,
            results=[result.answer for result in self.all_results()],
        )


@contextmanager
def called(path: Path, name: str) -> Iterator[None]:
    """Within it, errors about a file call it by the name that a person gave it."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from None
