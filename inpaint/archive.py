"""One photo of a run, wherever it is filled: in the command's own process or in a worker of a cluster."""

import time
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


def attempt(inpainter: Any, job: Job, options: Options, progress: Progress) -> Entry:
    """One photo of many, whose failure stops no other.

    Returns:
        `run_job`'s entry; or, beside `photo`, `skipped` (the result, which exists already) or `error` (a sentence).
    """
    if job.target.exists() and not options.overwrite:
        return {"photo": str(job.photo), "skipped": str(job.target)}
    try:
        return run_job(inpainter, job, options, progress)
    except UserError as error:
        return {"photo": str(job.photo), "error": f"{job.origin}{error}"}
    except Exception as error:  # a fault of ours costs one photo of many
        return {"photo": str(job.photo), "error": f"{job.origin}{type(error).__name__}: {first_line(error)}"}


def run_job(inpainter: Any, job: Job, options: Options, progress: Progress) -> Entry:
    """Fills and writes one photo; what the report says of it.

    Raises:
        UserError: photo or mask cannot be read, nothing or everything is marked, the result cannot be written.
    """
    from inpaint.photos import boxes_mask, check_keeps, check_target, checked_mask, read_mask, read_photo, write_photo

    check_target(job.target, options.overwrite)
    began = time.perf_counter()
    photo = read_photo(job.photo, inpainter.max_pixels)
    check_keeps(photo, job.target)
    marked = boxes_mask(options.boxes, photo.size)
    if job.mask is not None:
        marked |= read_mask(job.mask, photo.size, options.invert, inpainter.max_pixels)
    checked_mask(marked, photo.size, "What is marked")
    read = time.perf_counter()
    filled, holes = inpainter.fill_photo(
        photo,
        marked,
        dilate=options.dilate,
        feather=options.feather,
        progress=progress,
        intermediates=options.intermediates / job.below / job.photo.stem if options.intermediates else None,
    )
    done = time.perf_counter()
    write_photo(filled, job.target)
    end = time.perf_counter()
    return {
        "photo": str(job.photo),
        "output": str(job.target),
        "size": [photo.size[1], photo.size[0]],
        "device": str(inpainter.device),
        "seconds": {
            "read": read - began,
            "content": sum(hole.content_seconds for hole in holes),
            "refinement": sum(scale.seconds for hole in holes for scale in hole.scales),
            "write": end - done,
            "total": end - began,
        },
        "holes": [hole.to_json() for hole in holes],
    }
