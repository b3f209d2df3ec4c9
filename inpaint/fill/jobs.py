"""Plans what the command does: pairs each photo with its mask and its target file, and writes nothing."""

import os
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from inpaint.data.listing import pictures_under
from inpaint.data.pairs import Masks, listed_pairs, masks_among
from inpaint.errors import UserError
from inpaint.files import fitting
from inpaint.fill.folders import left_out
from inpaint.imaging.box import Box
from inpaint.photo.canvas import Margins
from inpaint.photo.files import FORMATS, check_folder, check_target, target_for, writable
from inpaint.photo.masks import ALPHA

LISTS = (".csv", ".txt")
ITSELF = Path("itself")  # stands for a mask: the photo's own file
WORDS = (ALPHA, ITSELF)
Entry = dict[str, Any]  # what came of a photo, as the report says it
Outcomes = Generator[tuple[int, Entry], None, None]  # of an engine: the number of a job that is done, what came of it


class Job(NamedTuple):
    """A photo that is to be filled once."""

    photo: Path
    mask: Path | None  # None if boxes alone say what to remove; ALPHA; or the photo itself
    target: Path  # where the result goes
    origin: str = ""  # what an error's sentence begins with: the line of the list that the job was read from
    below: Path = Path()  # the photo's folder below the list's or the photos', where its intermediate pictures go too
    variant: int | None = None  # which of the photo's fills this is, from 1; None if there is one alone
    fault: str = ""  # why it cannot be filled, where its name alone says so

    @property
    def name(self) -> str:
        """What lines for a person call the photo: its name, below the list's folder or the photos'."""
        return str(self.below / self.photo.name)

    def numbered(self, stem: str, suffix: str = "") -> str:
        """A name that fits, with the variant's number if there are several."""
        return fitting(stem, suffix if self.variant is None else f"_{self.variant}{suffix}")


@dataclass(frozen=True)
class Options:
    """How every photo of a run is filled, see `inpaint.fill.__main__.fill`."""

    boxes: list[Box]
    invert: bool
    dilate: int | None
    feather: int | None
    overwrite: bool
    intermediates: Path | None
    variants: int = 1  # of each photo
    margins: Margins | None = None  # by how much the canvas grows
    recursive: bool = False  # whether the folders in a folder of photos are searched as well

    def intermediates_of(self, job: Job) -> Path | None:
        """The folder for a photo's intermediate pictures, which lie in folders of their holes in it."""
        return self.intermediates / job.below / job.numbered(job.photo.stem) if self.intermediates else None


def parse_box(text: str) -> Box:
    """Reads a box from the command line; a UserError if it is not four whole numbers."""
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text} is not four whole numbers: give LEFT,TOP,RIGHT,BOTTOM in pixels.") from None
    return Box(left, top, right, bottom)


def holds_many(photo: Path) -> bool:
    """Whether what the command was given is a folder or a list of photos, not one."""
    return photo.suffix.lower() in LISTS or os.path.isdir(photo)


def find_jobs(photo: Path, mask: Path | None, output: Path | None, options: Options) -> list[Job]:
    """Works out the jobs of a photo, a folder or a list, and checks all that can be checked before any work.

    Raises:
        UserError: something is missing, cannot be read or cannot be written; nothing says what to remove; a result
            would replace a photo, a mask, another result, or, unless it may, anything else.
        OSError: a folder cannot be read, or a name is too long.
    """
    folder = os.path.isdir(photo)
    listed = holds_many(photo) and not folder
    if mask is None and not options.boxes and options.margins is None and not listed:
        raise UserError(
            "Nothing says what to remove: give --mask FILE, --box LEFT,TOP,RIGHT,BOTTOM, or more canvas by --expand."
        )
    if options.invert and mask is None and not listed:
        raise UserError("--invert needs a mask, and none is given: add --mask FILE, or leave --invert out.")
    if mask in WORDS and os.path.exists(mask):
        mask = mask.absolute()  # a file that is really called so, and no word
    named = [photo] if mask is None or mask in WORDS else [photo, mask]
    for path in named:
        if not os.path.exists(path):
            raise UserError(f"{path} does not exist.")
    if options.recursive and not folder:
        raise UserError(f"--recursive needs a folder of photos, and {photo} is no folder: leave --recursive out.")
    if folder:
        jobs = folder_jobs(photo, mask, output, options)
    elif listed:
        jobs = list_jobs(photo, mask, output)
    else:
        if mask is not None and mask.is_dir():
            raise UserError(f"{mask} is a folder of masks, but {photo} is one photo: give the mask that belongs to it.")
        if mask == ITSELF or (named[1:] and os.path.samefile(*named)):
            mask = photo
        target = target_for(photo)  # beside the photo, unless there is an output, which may be a folder
        if output is not None:
            target = output / target.name if output.is_dir() else output
        jobs = [Job(photo, mask, target)]
    if options.variants > 1:
        jobs = [job._replace(variant=number) for job in jobs for number in range(1, options.variants + 1)]
        jobs = [
            job._replace(target=job.target.with_name(job.numbered(job.target.stem, job.target.suffix))) for job in jobs
        ]
    many = folder or listed
    if many or len(jobs) > 1:
        check_distinct(jobs, options)
    if not many:
        for job in jobs:
            check_link(job)
            check_target(job.target, options.overwrite)
    if options.intermediates is not None:
        check_folder(options.intermediates)
    return jobs


def folder_jobs(photos: Path, masks: Path | None, output: Path | None, options: Options) -> list[Job]:
    """One job for each picture of a folder, by name. A missing mask is a fault of its photo alone.

    Results keep, under the output folder, the folders that their photos have under theirs.
    """
    whole = photos if photos.name.strip(".") else photos.resolve()  # of . and .. nothing can stand beside
    output = output or whole.parent / fitting(whole.name, "_filled")
    if output.exists() and output.samefile(photos):
        raise UserError(f"{output} is the folder of the photos themselves: give another one with -o.")
    if output.suffix.lower() in FORMATS and not output.is_dir():
        raise UserError(f"{photos} is a folder, so -o has to be one too, and {output} looks like a file.")
    check_folder(output)
    besides = not_searched(photos, masks, output, options)
    found = pictures_under(photos, recursive=options.recursive, besides=besides)
    by_name: Masks | None = None
    if masks is not None and masks.is_dir():
        beside = masks.samefile(photos)
        names: Collection[str]
        if beside:
            names = masks_among(found)
            found = [name for name in found if name not in names]
        else:
            names = pictures_under(masks, recursive=options.recursive, besides=besides - {os.path.realpath(masks)})
        by_name = Masks(masks, names, found, beside)
    elif masks is not None and masks not in WORDS:  # one for all, which may lie among the photos
        real, the_mask = real_paths(), os.path.realpath(masks)
        found = [name for name in found if real(photos / name) != the_mask]
    if not found:
        left = left_out(photos, options.recursive, besides)
        raise UserError(f"{photos} holds no pictures that could be filled{f' ({left})' if left else ''}.")
    jobs = []
    for name in found:
        photo, below = photos / name, Path(name)
        mask, fault = photo if masks == ITSELF else masks, ""
        if by_name is not None:
            try:
                mask = by_name.of(name)
            except UserError as error:
                mask, fault = None, str(error)
        jobs.append(Job(photo, mask, output / writable(below), below=below.parent, fault=fault))
    return jobs


def not_searched(photos: Path, masks: Path | None, output: Path | None, options: Options) -> set[str]:
    """The real paths of the folders in which no photos are looked for, though they may lie among the photos."""
    folders = {os.path.realpath(path) for path in (masks, output, options.intermediates) if path is not None}
    return folders - {os.path.realpath(photos)}


def list_jobs(listing: Path, mask: Path | None, output: Path | None) -> list[Job]:
    """One job for each line `photo,mask` of a list; relative paths begin at its folder. A missing file is found later.

    Results keep, under the output folder, the folders that their photos have under the list's.
    """
    if mask is not None:
        raise UserError(f"{listing} names the mask of each photo: leave out --mask.")
    output = output or listing.with_name(f"{listing.stem}_filled")
    check_folder(output)
    here = os.path.abspath(listing.parent)
    jobs = []
    for line, *fields in listed_pairs(listing):
        photo, own = (Path(here, os.path.expanduser(path)) for path in fields)
        if Path(fields[1]) in WORDS and not own.exists():
            own = ALPHA if Path(fields[1]) == ALPHA else photo
        named = Path(os.path.abspath(photo))  # drops .., which behind a link leads elsewhere: names the result
        below = named.relative_to(here) if named.is_relative_to(here) else Path(named.name)
        jobs.append(Job(photo, own, writable(output / below), line, below.parent))
    return jobs


def check_distinct(jobs: list[Job], options: Options) -> None:
    """Checks that each result has a file of its own, and no result or intermediate picture replaces a photo or mask."""
    real = real_paths()
    paths = {job.photo for job in jobs} | {job.mask for job in jobs if job.mask is not None and job.mask != ALPHA}
    sources = {real(path) for path in paths}
    above_sources = {os.path.dirname(os.path.dirname(path)) for path in sources}
    seen: dict[str, Job] = {}
    for job in jobs:
        target = real(job.target)
        other = seen.setdefault(target, job)
        if other is not job:
            raise UserError(f"{job.origin}{other.photo} and {job.photo} would both become {job.target}: rename one.")
        if target in sources:
            raise UserError(
                f"{job.origin}the result of {job.photo} would replace {job.target}, one of the photos or masks: "
                "give another folder with -o."
            )
        steps = options.intermediates_of(job)
        if steps is not None and real(steps) in above_sources:
            raise UserError(
                f"{job.origin}the intermediate pictures of {job.photo} would lie among photos or masks in {steps}: "
                "give another folder with --save-intermediates."
            )


def real_paths() -> Callable[[Path], str]:
    """Makes a function that gives the real paths of files, and is quick where many lie in the same folders."""
    real_folder = cache(os.path.realpath)

    def real(path: Path) -> str:
        at = os.path.join(real_folder(path.parent), path.name)
        return os.path.realpath(at) if os.path.islink(at) else at

    return real


def check_link(job: Job) -> None:
    """Checks that the result does not replace photo or mask by way of a link; who names them themselves means it."""
    at = os.path.realpath(job.target)
    for what, path in (("photo", job.photo), ("mask", job.mask)):
        if path is None or at != os.path.realpath(path):
            continue
        if os.path.abspath(job.target) not in (at, os.path.abspath(path)):
            raise UserError(f"{job.target} is a link to the {what}, {path}: give another name with -o.")
