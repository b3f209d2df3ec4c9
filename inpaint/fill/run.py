"""Fills the photos of the command, one after the other."""

import time
from collections.abc import Callable
from typing import Any

from inpaint.errors import INTERRUPTED, UserError, first_line
from inpaint.fill.jobs import Entry, Job, Options, Outcomes, Progress
from inpaint.fill.report import bar, duration, kind_of, say, told, unrefined


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
    from inpaint.photo.files import check_keeps, check_target, read_photo, write_photo
    from inpaint.photo.masks import as_mask

    check_target(job.target, options.overwrite)
    began = time.perf_counter()
    photo = read_photo(job.photo, inpainter.max_pixels)
    check_keeps(photo, job.target)
    marked = as_mask(job.mask, photo.size, options.invert, inpainter.max_pixels, options.boxes)
    read = time.perf_counter()
    filled, holes = inpainter.fill_photo(
        photo,
        marked,
        dilate=options.dilate,
        feather=options.feather,
        on_progress=progress,
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


Shown = Callable[..., None]  # told the photos that are done, a float, and the name of the one at hand if it is another


def run_single(job: Job, inpainter: Any, options: Options) -> tuple[int, list[Entry]]:
    """One photo, with a bar; its path on standard output."""
    with bar() as progress:
        task = progress.add_task(job.photo.name, total=1.0)
        entry = run_job(inpainter, job, options, lambda done: progress.update(task, completed=done))
    if remark := unrefined(entry):
        say(f"{job.photo.name}: {remark}")
    print(entry["output"])
    return 0, [entry]


def one_by_one(jobs: list[Job], inpainter: Any, options: Options, shown: Shown) -> Outcomes:
    """The local engine: each job's number and what came of it."""
    for number, job in enumerate(jobs):
        shown(number, job.photo.name)
        yield number, attempt(inpainter, job, options, lambda done, n=number: shown(n + done))  # type: ignore[misc]


def run_many(jobs: list[Job], engine: Callable[[Shown], Outcomes], keep: bool) -> tuple[int, list[Entry]]:
    """A line for each photo as an engine is done with it, and the counts at the end.

    Args:
        engine: given what shows the progress, yields the number of each job that is done, and its entry.
        keep: whether the entries are wanted; those of a large archive fill the memory.

    Returns:
        The exit code (1 if one failed, 130 if interrupted), and the entries of the photos that were looked at.
    """
    entries: dict[int, Entry] = {}
    counts = {"filled": 0, "skipped": 0, "failed": 0}
    failures, code, began = [], 0, time.monotonic()
    with bar() as progress:
        task = progress.add_task("", total=float(len(jobs)))

        def shown(completed: float, name: str | None = None) -> None:
            progress.update(task, completed=completed, description=name)

        outcomes = engine(shown)
        try:
            for done, (number, entry) in enumerate(outcomes, 1):
                name, kind = jobs[number].photo.name, kind_of(entry)
                counts[kind] += 1
                if kind == "failed":
                    failures.append(f"{jobs[number].photo}: {entry['error']}")
                if keep and kind != "skipped":
                    entries[number] = entry
                shown(done)
                worked = done - counts["skipped"]
                seconds = (time.monotonic() - began) / worked * (len(jobs) - done) if worked else 0.0
                rest = f" ({duration(seconds)} left)" if seconds else ""
                say(f"[{done}/{len(jobs)}] {name}: {told(entry)}{rest}")
                if kind == "filled" and (remark := unrefined(entry)):
                    say(f"[{done}/{len(jobs)}] {name}: {remark}")
        except KeyboardInterrupt:
            code = INTERRUPTED
            say("Interrupted: what is finished stays, and the same command goes on from there.")
        finally:
            outcomes.close()  # and whatever the engine started
    say(", ".join(f"{count} {name}" for name, count in counts.items()))
    for failure in failures:
        say(f"  {failure}")
    return code or (1 if failures else 0), [entries[number] for number in sorted(entries)]
