"""What the command is to do: which photo, which mask, where the result goes."""

import csv
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from inpaint.errors import UserError, first_line

Box = tuple[int, int, int, int]
Progress = Callable[[float], None]
Entry = dict[str, Any]
Outcomes = Generator[tuple[int, Entry], None, None]  # of an engine: the number of a job that is done, what came of it


class Job(NamedTuple):
    """What is to be filled.

    Attributes:
        photo: a file.
        mask: a file; None if boxes alone say what to remove.
        target: where the result goes.
        origin: what an error's sentence begins with: the line of the list that the job was read from.
        below: the folder of the photo below the list's, where its intermediate pictures go as well.
    """

    photo: Path
    mask: Path | None
    target: Path
    origin: str = ""
    below: Path = Path()


@dataclass(frozen=True)
class Options:
    """How every photo of a run is filled, see `inpaint.fill.fill`."""

    boxes: list[Box]
    invert: bool
    dilate: int
    feather: int
    overwrite: bool
    intermediates: Path | None


READABLE = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
LISTS = (".csv", ".txt")


def parse_box(text: str) -> Box:
    """Raises:
    UserError: these are not four whole numbers.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text} is not four whole numbers: give LEFT,TOP,RIGHT,BOTTOM in pixels.") from None
    return left, top, right, bottom


def check_engine(engine: str, many: bool, address: str | None, workers: int | None) -> None:
    """Raises:
    UserError: there is no such engine, or it has no use for one of these.
    """
    if engine not in ("local", "ray"):
        raise UserError(f"There is no engine {engine!r}: choose local or ray.")
    if engine == "ray" and not many:
        raise UserError("--engine ray is for many photos: give a folder or a list.")
    if engine == "local" and (address or workers):
        raise UserError("--address and --workers are of a Ray cluster: give them with --engine ray.")


def single_job(photo: Path, mask: Path | None, output: Path | None) -> Job:
    from inpaint.photo.files import target_for

    if mask is not None and mask.is_dir():
        raise UserError(f"{mask} is a folder of masks, but {photo} is one photo: give the mask that belongs to it.")
    if output is not None and output.is_dir():
        output = output / target_for(photo).name
    return Job(photo, mask, output or target_for(photo))


def folder_jobs(photos: Path, masks: Path | None, output: Path | None) -> list[Job]:
    """One job for each picture of a folder, in the order of their names. A missing mask is found later, photo by photo.

    Raises:
        UserError: the folder holds no pictures; results would land among the photos or under the same name.
    """
    from inpaint.photo.files import FORMATS, check_folder

    whole = photos if photos.name.strip(".") else photos.resolve()  # of . and .. nothing can stand beside
    output = output or whole.parent / f"{whole.name}_filled"
    if output.exists() and output.resolve() == photos.resolve():
        raise UserError(f"{output} is the folder of the photos themselves: give another one with -o.")
    if output.suffix.lower() in FORMATS and not output.is_dir():
        raise UserError(f"{photos} is a folder, so -o has to be one too, and {output} looks like a file.")
    check_folder(output)
    found = [path for path in pictures_in(photos) if masks is None or not path.samefile(masks)]
    if not found:
        raise UserError(f"{photos} holds no pictures: none of its files ends with {', '.join(READABLE)}.")
    jobs = []
    for photo in found:
        name = photo.name if photo.suffix.lower() in FORMATS else f"{photo.stem}.png"
        own = masks
        if masks is not None and masks.is_dir():
            own = next((path for path in pictures_in(masks) if path.stem == photo.stem), masks / photo.name)
        jobs.append(Job(photo, own, output / name))
    check_distinct(jobs)
    return jobs


def pictures_in(folder: Path) -> list[Path]:
    """By name, hidden files left out (what other systems put beside a picture, what a killed run left)."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in READABLE and path.is_file() and not path.name.startswith(".")
    )


def list_jobs(listing: Path, mask: Path | None, output: Path | None) -> list[Job]:
    """One job for each line `photo,mask` of a list; relative paths begin at its folder. A missing file is found later.

    Results keep, under the output folder, the folders that their photos have under the list's.

    Raises:
        UserError: the list cannot be read or names nothing, a line is no pair, or results would land on photos or
            on each other.
    """
    from inpaint.photo.files import FORMATS, check_folder

    if mask is not None:
        raise UserError(f"{listing} names the mask of each photo: leave out --mask.")
    output = output or listing.with_name(f"{listing.stem}_filled")
    check_folder(output)
    here = os.path.abspath(listing.parent)
    jobs: list[Job] = []
    try:
        with listing.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            for fields in lines:
                if not fields or (fields == ["photo", "mask"] and not jobs):
                    continue
                line = f"{listing}, line {lines.line_num}: "
                if len(fields) != 2 or not all(fields):
                    raise UserError(
                        f"{line}this is not photo,mask (a path that holds a comma or a quote is put in double quotes)."
                    )
                photo, own = (Path(os.path.abspath(os.path.join(here, os.path.expanduser(path)))) for path in fields)
                below = photo.relative_to(here) if photo.is_relative_to(here) else Path(photo.name)
                target = output / below
                if target.suffix.lower() not in FORMATS:
                    target = target.with_suffix(".png")
                jobs.append(Job(photo, own, target, line, below.parent))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{listing} cannot be read as a list of photo,mask: {first_line(error)}.") from None
    if not jobs:
        raise UserError(f"{listing} names no photos: give it a line photo,mask for each.")
    check_distinct(jobs)
    return jobs


def check_distinct(jobs: list[Job]) -> None:
    """Raises:
    UserError: two results would land in one file, or one on a photo or a mask.
    """
    sources = {os.path.abspath(path) for job in jobs for path in (job.photo, job.mask) if path is not None}
    seen: dict[Path, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.target, job)
        if other is not job:
            raise UserError(f"{job.origin}{other.photo} and {job.photo} would both become {job.target}: rename one.")
        if os.path.abspath(job.target) in sources:
            raise UserError(
                f"{job.origin}the result of {job.photo} would replace {job.target}, one of the photos or masks: "
                "give another folder with -o."
            )
