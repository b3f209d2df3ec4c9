"""`python -m inpaint.fill`: a person's photo and what to remove from it in, the filled photo out."""

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inpaint.archive import Box, Entry, Job, Options, Outcomes, attempt, run_job
from inpaint.configuration import DILATE, FEATHER, MAX_PIXELS, MAX_SIDE
from inpaint.errors import UserError, first_line

CONSOLE = Console(stderr=True)
READABLE = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
LISTS = (".csv", ".txt")
INTERRUPTED = 130  # what shells report for Ctrl-C

Shown = Callable[..., None]  # told the photos that are done, a float, and the name of the one at hand if it is another


def fill(
    photo: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTO",
            help="The photo, a folder of photos, or a list: a .csv or .txt file with a line `photo,mask` for each.",
            show_default=False,
        ),
    ],
    mask: Annotated[
        Path | None,
        typer.Option(help="White removes. For a folder: one mask for all, or a folder with masks of the same names."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="LEFT,TOP,RIGHT,BOTTOM", help="Removes what is in this box, in pixels; repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The filled photo, or the folder for them. [default: beside the photo]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replaces what exists already.")] = False,
    invert: Annotated[bool, typer.Option("--invert", help="Black removes.")] = False,
    dilate: Annotated[int, typer.Option(min=0, help="Pixels by which what is marked is enlarged.")] = DILATE,
    feather: Annotated[
        int, typer.Option(min=0, help="Pixels over which, beyond that, the fill fades into the photo.")
    ] = FEATHER,
    content: Annotated[
        str | None,
        typer.Option(
            metavar="starter|telea|FILE.ckpt|FILE.png",
            help="The first stage: the network that ships with this package, classical filling, a checkpoint of your "
            "own training, or a picture of the photo's size. [default: starter, or telea where there is none]",
        ),
    ] = None,
    preset: Annotated[str, typer.Option(metavar="fast|default|best", help="Of the refinement.")] = "default",
    alpha: Annotated[
        float | None, typer.Option(min=0, help="The weight of texture. [default: the preset's]", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another fill.")] = 0,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:n]|mps", help="Where to compute.")] = "auto",
    max_side: Annotated[
        int,
        typer.Option(min=128, help="The largest part of a photo, in pixels a side, that is worked on at full size."),
    ] = MAX_SIDE,
    max_pixels: Annotated[int, typer.Option(min=1, help="Files that declare more pixels are refused.")] = MAX_PIXELS,
    save_intermediates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder for each hole's input, prediction and scales.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Seconds, energies, memory, versions, weights' hashes. A folder run replaces an earlier one.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="For many photos: one after the other, or many at a time by Ray.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="Of a Ray cluster. [default: RAY_ADDRESS, or else Ray is started on this machine]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Photos at a time, with Ray. [default: one for each GPU, or each core]", show_default=False
        ),
    ] = None,
) -> None:
    """Removes what a mask or boxes mark from a photo, and fills the place. Every other pixel stays as it is.

    \b
    python -m inpaint.fill photo.jpg --mask mask.png
    python -m inpaint.fill photo.jpg --box 410,220,640,700 -o out.png
    python -m inpaint.fill photos/ --mask masks/ -o filled/
    python -m inpaint.fill list.csv --engine ray -o filled/
    """
    try:
        from inpaint.photos import check_folder, check_target  # torch takes seconds to import: --help goes without

        listed = photo.suffix.lower() in LISTS
        if mask is None and not box and not listed:
            raise UserError("Nothing says what to remove: give --mask FILE, or --box LEFT,TOP,RIGHT,BOTTOM.")
        if invert and mask is None and not listed:
            raise UserError("--invert is about masks, and there is none: give --mask FILE, or leave --invert out.")
        boxes = [parse_box(text) for text in box or ()]
        photo = photo.expanduser()  # shells leave the ~ of --mask=~/mask.png as it is
        mask, output, save_intermediates, report = (
            path and path.expanduser() for path in (mask, output, save_intermediates, report)
        )
        if not photo.exists():
            raise UserError(f"{photo} does not exist.")
        if mask is not None and not mask.exists():
            raise UserError(f"{mask} does not exist.")
        many = photo.is_dir() or listed
        check_engine(engine, many, address, workers)
        if photo.is_dir():
            jobs = folder_jobs(photo, mask, output)
        else:
            jobs = list_jobs(photo, mask, output) if listed else [single_job(photo, mask, output)]
        for folder in (save_intermediates, report and report.parent):
            if folder is not None:
                check_folder(folder)
        if not many:
            check_target(jobs[0].target, overwrite)
        if report is not None:
            check_report(report, overwrite or many)

        from inpaint.inpainter import Inpainter

        make = partial(Inpainter, content, preset, alpha=alpha, seed=seed, max_side=max_side, max_pixels=max_pixels)
        options = Options(boxes, invert, dilate, feather, overwrite, save_intermediates)
        began = time.perf_counter()
        if engine == "ray":
            from inpaint.cluster import LOCAL, fill_on_ray

            inpainter = make(device="cpu")  # tells what is wrong with the choices before any process starts
            where = address or os.environ.get("RAY_ADDRESS") or LOCAL
            spread = fill_on_ray(jobs, make, options, device, where, workers)
            code, entries = run_many(jobs, lambda shown: spread, report is not None)
        else:
            inpainter = make(device=device)
            if many:
                one = partial(one_by_one, jobs, inpainter, options)
                code, entries = run_many(jobs, one, report is not None)
            else:
                code, entries = run_single(jobs[0], inpainter, options)
        if report is not None:
            write_report(report, inpainter, entries, time.perf_counter() - began, preset)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if code:
        raise typer.Exit(code)


def check_report(path: Path, overwrite: bool) -> None:
    """Raises:
    UserError: something other than a report could be lost there; a report too, unless it may be.
    """
    if path.suffix.lower() != ".json" or path.is_dir():
        raise UserError(f"{path} is no name for a report: give a file that ends with .json.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give the report another name, or --overwrite.")


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
    from inpaint.photos import target_for

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
    from inpaint.photos import FORMATS, check_folder

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
    from inpaint.photos import FORMATS, check_folder

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


def bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
        speed_estimate_period=600,  # a large hole's steps are further apart than the default, 30 seconds
        disable=not CONSOLE.is_terminal,  # a log wants lines, not bars
    )


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


def kind_of(entry: Entry) -> str:
    return "skipped" if "skipped" in entry else "failed" if "error" in entry else "filled"


def told(entry: Entry) -> str:
    """What came of a photo, for a reader."""
    if "skipped" in entry:
        return f"skipped, {entry['skipped']} exists"
    if "error" in entry:
        return f"failed: {entry['error']}"
    return f"{len(entry['holes'])} hole(s) in {entry['seconds']['total']:.1f} s -> {entry['output']}"


def duration(seconds: float) -> str:
    """About that long, for a reader."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def unrefined(entry: dict[str, Any]) -> str:
    """What to say if the second stage had nothing to work with."""
    count = sum(not hole["scales"] for hole in entry["holes"])
    return f"{count} hole(s) with too little around to take texture from, filled smoothly" if count else ""


def say(line: str) -> None:
    CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


def write_report(path: Path, inpainter: Any, entries: list[Entry], seconds: float, preset: str) -> None:
    import torch

    from inpaint import provenance
    from inpaint.images import atomic

    devices = {f"cuda:{n}": torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count())}
    content = {
        "photos": entries,
        "seconds": seconds,
        "peak_memory_bytes": {"main": provenance.peak_memory()} | devices,
        "preset": preset,
        "settings": {k: v for k, v in vars(inpainter.settings).items() if k != "scales"},  # each hole has its own
        "seed": inpainter.seed,
        "versions": provenance.versions(),
        "weights": {
            name: {"file": str(file), "sha256": provenance.sha256(file)}
            for name, file in inpainter.weight_files.items()
        },
    }
    with atomic(path) as beside:
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    # plain help: with Rich's markup, flags would seem to take a <bool>, and what stands in brackets would be lost
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(fill)
    app()


if __name__ == "__main__":
    main()
