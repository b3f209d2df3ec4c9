"""One photo of a session, in a folder of its own: what is painted over it, and what it is filled with."""

import math
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from inpaint.errors import UserError
from inpaint.files import fitting
from inpaint.fill.report import enlarged
from inpaint.imaging.reading import SUFFIXES, opened
from inpaint.photo.canvas import Margins
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import read_photo, target_for
from inpaint.photo.masks import as_mask, checked_mask
from inpaint.web import answers
from inpaint.web.shown import Shown, extent, show, write_overlay
from inpaint.web.strokes import MOST_POINTS, File, Stroke, Whole, painted
from inpaint.web.work import Task

MOST_MASKS = 20  # files a step
BYTES_A_VALUE, BYTES_A_PIXEL = 5, 24  # of memory that a fill takes: for each channel's bytes, and beside them
FOR_WINDOWS = 2**30  # bytes: for windows of up to --max-side pixels
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

    def wait(self) -> None:
        """Waits until its file is written; raises `Missing` if it never will be."""
        while not self.answer.ready and not self.answer.preview and not self.task.ended.done():
            time.sleep(0.05)
        if not self.answer.ready:
            raise Missing("This was never written: it is a preview, or its fill was cancelled.")


class Step:
    """A photo that something is removed from.

    Args:
        folder: for its files alone; it is made.
        photo: a file, which is moved there.
        name: what a person calls it: no path, but with an extension.
        number: how many steps came before.
        original: what the session's first photo was called.
        max_pixels: a photo that declares more is refused.

    Raises:
        UserError: the photo cannot be read, or does not fit into memory.
    """

    def __init__(self, folder: Path, photo: Path, name: str, number: int, original: str, max_pixels: int) -> None:
        self.folder, self.name, self.number, self.original = folder, name, number, original
        self.max_pixels = max_pixels
        folder.mkdir(mode=0o700)
        suffix = Path(name).suffix.lower()
        self.photo = folder / f"photo{suffix if suffix in SUFFIXES else ''}"
        shutil.move(photo, self.photo)
        first = Path(target_for(Path(original)).name)
        self.target = first.name if number == 0 else fitting(first.stem, f"_{number + 1}{first.suffix}")
        self.mask_name = fitting(Path(name).stem, "_mask.png")
        with called(self.photo, name), READING:
            check_memory(self.photo, max_pixels)
            read = read_photo(self.photo, max_pixels)
            self.size, self.picture = read.size, show(read, folder / "picture")
        self.strokes: list[Stroke] = []
        self.masks: dict[str, np.ndarray] = {}  # what mask files mark, eight pixels a byte
        self.mask: answers.Mask | None = None
        self.results: list[Result] = []
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
        if len(self.masks) >= MOST_MASKS:
            raise UserError(f"There are {MOST_MASKS} masks already: start again with the photo.")
        with called(path, name), READING:
            marked = as_mask(path, self.size, max_pixels=self.max_pixels)
        file = str(len(self.masks) + 1)
        self.masks[file] = np.packbits(marked)
        return file

    def paint(self, strokes: list[Stroke]) -> answers.Mask | None:
        """Marks what the strokes mark, instead of what was marked before; None if that is nothing.

        Raises:
            UserError: there are too many points.
            Missing: there is no such mask file.
        """
        if sum(len(stroke.points) for stroke in strokes if not isinstance(stroke, File | Whole)) > MOST_POINTS:
            raise UserError(f"The strokes have more than {MOST_POINTS} points: save the mask, load it, and go on.")
        height, width = self.size
        names = {stroke.file for stroke in strokes if isinstance(stroke, File)}
        if missing := names - self.masks.keys():
            raise Missing(f"There is no mask file {min(missing)!r} here.")
        with READING:
            files = {
                name: np.unpackbits(self.masks[name], count=height * width).view(bool).reshape(self.size)
                for name in names
            }
            marked = painted(strokes, self.size, files)
            self.strokes = strokes
            if not marked.any():
                self.mask = None
                return None
            mask = enlarge(marked)
            problem = None
            try:
                checked_mask(marked, self.size, "The mask")
                mask.check_leaves()
            except UserError as error:
                problem = str(error)
            box = extent(mask.weights > 0)
            self.versions += 1
            write_overlay(marked, mask, box, self.overlay)
            Image.fromarray(marked).save(self.mask_file)
        lines = [enlarged(*mask.dilate).strip(" ,"), *mask.remarks("press Swap")]
        self.mask = answers.Mask(
            version=self.versions, box=box, marked=mask.marked, share=mask.share, lines=lines, problem=problem
        )
        return self.mask

    def result(self, number: int) -> Result:
        """A result by its number; raises `Missing`."""
        for result in self.results:
            if result.answer.number == number:
                return result
        raise Missing(f"There is no result {number} of this photo (any more).")

    def command(self, preset: str, seed: int, more: str) -> str:
        """The command that writes the same file."""
        photo, mask = (f"./{name}" if name.startswith("-") else name for name in (self.name, self.mask_name))
        words = ["python", "-m", "inpaint.fill", photo, "--mask", mask]
        words += ["--preset", preset] if preset != "default" else []
        words += ["--seed", str(seed)] if seed else []
        words += ["-o", self.target] if self.target != target_for(Path(self.name)).name else []
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
            results=[result.answer for result in self.results],
        )


@contextmanager
def called(path: Path, name: str) -> Iterator[None]:
    """Within it, errors about a file call it by the name that a person gave it."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from None


def check_memory(path: Path, max_pixels: int, margins: Margins | None = None) -> None:
    """Raises a UserError if a photo, on its larger canvas if there are margins, would not fit into memory.

    That goes by its header: no pixel is read.
    """
    with opened(path, max_pixels) as image:
        size = (image.height, image.width)
        pixels = math.prod(size if margins is None else margins.canvas(size, max_pixels))
        values = (4 if image.mode == "P" else len(image.getbands())) * (
            2 if image.format in ("PNG", "TIFF", "PPM") else 1
        )  # they may have 16 bits
        needed = pixels * (BYTES_A_PIXEL + BYTES_A_VALUE * values) + FOR_WINDOWS
        free = psutil.virtual_memory().available
        if needed > free:
            raise UserError(
                f"{path} has {image.width} x {image.height} pixels, for which about {needed / 2**30:.1f} GiB of memory "
                f"are needed, and {free / 2**30:.1f} are free: make it smaller."
            )
