"""Carries out the planned jobs, here or with Ray, and has progress and results reported."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from inpaint.errors import INTERRUPTED, UserError, first_line
from inpaint.fill.folders import left_out
from inpaint.fill.jobs import Entry, Job, Options, Outcomes, find_jobs, holds_many, not_searched
from inpaint.fill.printing import print_path, printable
from inpaint.fill.report import check_report, duration, outcome, progress_bar, report_of, say, warnings, write_report
from inpaint.photo.files import check_keeps, check_target, read_photo, write_photo
from inpaint.photo.inpainter import FilledPhoto, Inpainter, check_seeds
from inpaint.photo.masks import ALPHA, as_mask
from inpaint.refinement.scale import OnProgress
from inpaint.refinement.settings import preset

STAYS = "what is finished stays, and the same command goes on from there"


def run(
    photo: Path,
    mask: Path | None,
    output: Path | None,
    options: Options,
    choices: dict[str, Any],
    device: str,
    report: Path | None,
    engine: str,
    address: str | None,
    workers: int | None,
) -> int:
    """Runs the whole command, see `inpaint.fill.__main__.fill`; returns its exit code.

    `choices` are the arguments of `Inpainter`, but for its device.

    Raises:
        UserError: something is wrong with what the command was given, or with a single photo.
    """
    many = holds_many(photo)
    if engine not in ("local", "ray"):
        raise UserError(f"There is no engine {engine!r}: choose local or ray.")
    if engine == "ray" and not many:
        raise UserError("--engine ray is for many photos: give a folder or a list.")
    if engine == "local" and (address or workers):
        raise UserError("--address and --workers are of a Ray cluster: give them with --engine ray.")
    check_seeds(choices["seed"], options.variants)
    preset(choices["preset"])  # that there is no such one is said before that the result exists already
    try:
        jobs = find_jobs(photo, mask, output, options)
        if report is not None:
            check_report(report, options.overwrite or many)
        besides = not_searched(photo, mask, output, options)
        left = left_out(photo, options.recursive, besides) if os.path.isdir(photo) else ""
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read or written: {error.strerror}.") from None
    if left:
        say(left)
    expected = ([] if many else [job.target for job in jobs]) + ([] if report is None else [report])
    before = {path: version_of(path) for path in expected}
    began = time.perf_counter()
    try:
        # of Ray's processes each makes its own; this one tells what is wrong with the choices before any starts
        inpainter = Inpainter(**choices, device="cpu" if engine == "ray" else device)
        if engine == "ray":
            from inpaint.fill.cluster import LOCAL, fill_on_ray  # which imports this module

            where = address or os.environ.get("RAY_ADDRESS") or LOCAL
            outcomes = fill_on_ray(jobs, partial(Inpainter, **choices), options, device, where, workers)
            code, entries = run_many(jobs, lambda show: outcomes, report is not None)
        elif many:
            code, entries = run_many(jobs, partial(one_by_one, jobs, inpainter, options), report is not None)
        else:
            code, entries = run_single(jobs, inpainter, options)
        if report is not None:
            write_report(report, report_of(inpainter, entries, time.perf_counter() - began, choices["preset"]))
    except KeyboardInterrupt:
        states = [f"{path} is{' not' if version_of(path) == old else ''} written" for path, old in before.items()]
        say(f"Interrupted: {'; '.join([STAYS, *states] if many else states)}.")
        return INTERRUPTED
    return code


def version_of(path: Path) -> tuple[int, int] | None:
    """What changes of a file when it is written anew; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def run_single(jobs: list[Job], inpainter: Inpainter, options: Options) -> tuple[int, list[Entry]]:
    """Fills one photo, once for each job, says a line about each, and prints the results' paths on standard output.

    Returns as `run_many`, raises as `fill_one`.
    """
    entries: list[Entry] = []
    told: set[str] = set()  # what all variants have in common is said once
    with progress_bar() as progress:
        task = progress.add_task(printable(jobs[0].name), total=float(len(jobs)))
        for job in jobs:
            entry = fill_one(
                inpainter, job, options, lambda share: progress.update(task, completed=len(entries) + share)
            )
            entries.append(entry)
            for line in (outcome(entry)[1], *warnings(entry)):
                if line not in told:
                    say(f"{job.name}: {line}")
                told.add(line)
    for entry in entries:
        print_path(entry["output"])
    return 0, entries


def run_many(jobs: list[Job], engine: Callable[[Callable], Outcomes], keep: bool) -> tuple[int, list[Entry]]:
    """Says a line for each photo as an engine is done with it, and the counts at the end.

    Args:
        engine: given what shows the progress (how many photos are done, a float, and the name of the one at hand),
            yields the number of each job that is done, and its entry.
        keep: whether the entries are wanted; those of a large archive fill the memory.

    Returns:
        The exit code (1 if one failed, 130 if interrupted), and the entries of the photos that were looked at.
    """
    entries: dict[int, Entry] = {}
    counts = {"filled": 0, "skipped": 0, "failed": 0}
    failures, code, began = [], 0, time.monotonic()
    with progress_bar() as progress:
        task = progress.add_task("", total=float(len(jobs)))

        def show(completed: float, name: str | None = None) -> None:
            progress.update(task, completed=completed, description=None if name is None else printable(name))

        outcomes = engine(show)
        try:
            for done, (number, entry) in enumerate(outcomes, 1):
                became, summary = outcome(entry)
                counts[became] += 1
                if became == "failed":
                    failures.append(f"{jobs[number].photo}: {entry['error']}")
                if keep and became != "skipped":
                    entries[number] = entry
                show(done)
                line, filled = f"[{done}/{len(jobs)}] {jobs[number].name}", counts["filled"]  # others take no time
                seconds = (time.monotonic() - began) / filled * (len(jobs) - done) if filled else 0.0
                say(f"{line}: {summary}" + (f" ({duration(seconds)} left)" if seconds else ""))
                for text in warnings(entry) if became == "filled" else ():
                    say(f"{line}: {text}")
        except KeyboardInterrupt:
            code = INTERRUPTED
            say(f"Interrupted: {STAYS}.")
        finally:
            outcomes.close()  # and whatever the engine started
    say(", ".join(f"{count} {name}" for name, count in counts.items()))
    for failure in dict.fromkeys(failures):  # once for all variants of a photo
        say(f"  {failure}")
    return code or (1 if failures else 0), [entries[number] for number in sorted(entries)]


def one_by_one(jobs: list[Job], inpainter: Inpainter, options: Options, show: Callable) -> Outcomes:
    """The local engine: fills photos one after the other, yields each job's number and `attempt`'s entry."""
    for number, job in enumerate(jobs):
        show(number, job.name)
        yield number, attempt(inpainter, job, options, lambda done, n=number: show(n + done))  # type: ignore[misc]


def attempt(inpainter: Inpainter, job: Job, options: Options, progress: OnProgress) -> Entry:
    """Fills one photo of many, unless its result exists; its failure stops no other.

    Returns `fill_one`'s entry; or, beside `photo`, `skipped` (the result that exists) or `error` (a sentence).
    """
    try:
        return settled(job, options) or fill_one(inpainter, job, options, progress)
    except UserError as error:
        return {"photo": str(job.photo), "error": f"{job.origin}{error}"}
    except Exception as error:  # a fault of ours costs one photo of many
        return {"photo": str(job.photo), "error": f"{job.origin}{type(error).__name__}: {first_line(error)}"}


def settled(job: Job, options: Options) -> Entry | None:
    """`attempt`'s entry of a photo that there is nothing to do for: its result exists, or it has a fault; else None."""
    if os.path.exists(job.target) and not options.overwrite:
        return {"photo": str(job.photo), "skipped": str(job.target)}
    return {"photo": str(job.photo), "error": f"{job.origin}{job.fault}"} if job.fault else None


def fill_one(
    inpainter: Inpainter,
    job: Job,
    options: Options,
    progress: OnProgress,
    on_filled: Callable[[FilledPhoto], None] | None = None,
) -> Entry:
    """Fills and writes one photo; returns what the report says of it.

    Args:
        on_filled: is shown the photo before it is written, which takes seconds where it is a large PNG.

    Raises:
        UserError: photo or mask cannot be read, nothing or everything is marked, the result cannot be written.
    """
    check_target(job.target, options.overwrite)
    began = time.perf_counter()
    photo = read_photo(job.photo, inpainter.max_pixels)
    marked = None
    if job.mask is not None or options.boxes:
        itself = job.mask == job.photo
        marked = as_mask(
            ALPHA if itself else job.mask,
            photo.size,
            options.invert != itself,  # the photo as its own mask marks what is opaque, and its alpha what is clear
            inpainter.max_pixels,
            options.boxes,
            photo.alpha,
        )
    margins = options.margins
    size = photo.size if margins is None else margins.canvas(photo.size, inpainter.max_pixels)
    check_keeps(photo, job.target, marked, size)
    read = time.perf_counter()
    seed = inpainter.seed + (job.variant or 1) - 1
    done = inpainter.fill_photo(
        photo,
        marked,
        dilate=options.dilate,
        feather=options.feather,
        margins=margins,
        seed=seed,
        on_progress=progress,
        intermediates=options.intermediates_of(job),
    )
    if on_filled is not None:
        on_filled(done)
    filled, holes, mask = done
    writing = time.perf_counter()
    not_kept = write_photo(filled, job.target)
    end = time.perf_counter()
    entry: Entry = {} if mask is None else {"enlargement": mask.to_json(), "remarks": mask.remarks()}
    return entry | {
        "photo": str(job.photo),
        "output": str(job.target),
        "not_kept": not_kept,
        "size": [filled.size[1], filled.size[0]],
        "device": str(inpainter.device),
        "seed": seed,
        "seconds": {
            "read": read - began,
            "content": sum(hole.content_seconds for hole in holes),
            "refinement": sum(scale.seconds for hole in holes for scale in hole.scales),
            "write": end - writing,
            "total": end - began,
        },
        "holes": [hole.to_json() for hole in holes],
    }
