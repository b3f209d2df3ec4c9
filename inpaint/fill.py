"""`python -m inpaint.fill`: a person's photo and what to remove from it in, the filled photo out."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inpaint.errors import UserError

CONSOLE = Console(stderr=True)
READABLE = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
INTERRUPTED = 130  # what shells report for Ctrl-C

Box = tuple[int, int, int, int]


def fill(
    photo: Annotated[Path, typer.Argument(help="The photo, or a folder of photos.", show_default=False)],
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
    dilate: Annotated[int, typer.Option(min=0, help="Pixels by which what is marked is enlarged.")] = 8,
    feather: Annotated[
        int, typer.Option(min=0, help="Pixels over which, beyond that, the fill fades into the photo.")
    ] = 4,
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
    ] = 2048,
    max_pixels: Annotated[int, typer.Option(min=1, help="Files that declare more pixels are refused.")] = 100_000_000,
    save_intermediates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder for each hole's input, prediction and scales.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Seconds, energies, memory, versions, weights' hashes.")
    ] = None,
) -> None:
    """Removes what a mask or boxes mark from a photo, and fills the place. Every other pixel stays as it is.

    \b
    python -m inpaint.fill photo.jpg --mask mask.png
    python -m inpaint.fill photo.jpg --box 410,220,640,700 -o out.png
    python -m inpaint.fill photos/ --mask masks/ -o filled/
    """
    try:
        from inpaint.photos import check_folder, check_target  # torch takes seconds to import: --help goes without

        if mask is None and not box:
            raise UserError("Nothing says what to remove: give --mask FILE, or --box LEFT,TOP,RIGHT,BOTTOM.")
        boxes = [parse_box(text) for text in box or ()]
        if not photo.exists():
            raise UserError(f"{photo} does not exist.")
        if mask is not None and not mask.exists():
            raise UserError(f"{mask} does not exist.")
        many = photo.is_dir()
        jobs = folder_jobs(photo, mask, output) if many else [single_job(photo, mask, output)]
        for folder in (save_intermediates, report and report.parent):
            if folder is not None:
                check_folder(folder)
        if not many:
            check_target(jobs[0][2], overwrite)

        from inpaint.inpainter import Inpainter

        inpainter = Inpainter(content, preset, alpha=alpha, seed=seed, device=device, max_side=max_side)

        def fill_one(job: Job, progress: Callable[[float], None]) -> dict[str, Any]:
            return run_job(
                inpainter, job, boxes, progress, invert, dilate, feather, overwrite, max_pixels, save_intermediates
            )

        began = time.perf_counter()
        code, entries = (run_many if many else run_single)(jobs, fill_one, overwrite)
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


Job = tuple[Path, Path | None, Path]  # photo, mask, where the result goes


def parse_box(text: str) -> Box:
    """Raises:
    UserError: these are not four whole numbers.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text} is not four whole numbers: give LEFT,TOP,RIGHT,BOTTOM in pixels.") from None
    return left, top, right, bottom


def single_job(photo: Path, mask: Path | None, output: Path | None) -> Job:
    from inpaint.photos import target_for

    if mask is not None and mask.is_dir():
        raise UserError(f"{mask} is a folder of masks, but {photo} is one photo: give the mask that belongs to it.")
    if output is not None and output.is_dir():
        output = output / target_for(photo).name
    return photo, mask, output or target_for(photo)


def folder_jobs(photos: Path, masks: Path | None, output: Path | None) -> list[Job]:
    """One job for each picture of a folder, in the order of their names. A missing mask is found later, photo by photo.

    Raises:
        UserError: the folder holds no pictures; results would land among the photos or under the same name.
    """
    from inpaint.photos import FORMATS, check_folder

    output = output or photos.with_name(f"{photos.resolve().name}_filled")
    if output.exists() and output.resolve() == photos.resolve():
        raise UserError(f"{output} is the folder of the photos themselves: give another one with -o.")
    if output.suffix.lower() in FORMATS and not output.is_dir():
        raise UserError(f"{photos} is a folder, so -o has to be one too, and {output} looks like a file.")
    check_folder(output)
    found = sorted(path for path in photos.iterdir() if path.suffix.lower() in READABLE and path.is_file())
    if not found:
        raise UserError(f"{photos} holds no pictures: none of its files ends with {', '.join(READABLE)}.")
    jobs = []
    for photo in found:
        name = photo.name if photo.suffix.lower() in FORMATS else f"{photo.stem}.png"
        own = masks
        if masks is not None and masks.is_dir():
            own = next(
                (
                    path
                    for path in sorted(masks.iterdir())
                    if path.stem == photo.stem and path.suffix.lower() in READABLE
                ),
                masks / photo.name,
            )
        jobs.append((photo, own, output / name))
    names = [target.name for _, _, target in jobs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"Two photos would both become {min(twice)}: rename one of them.")
    return jobs


def run_job(
    inpainter: Any,
    job: Job,
    boxes: list[Box],
    progress: Callable[[float], None],
    invert: bool,
    dilate: int,
    feather: int,
    overwrite: bool,
    max_pixels: int,
    intermediates: Path | None,
) -> dict[str, Any]:
    """Fills and writes one photo; what the report says of it."""
    from inpaint.photos import boxes_mask, check_keeps, check_target, checked_mask, read_mask, read_photo, write_photo

    path, mask, target = job
    check_target(target, overwrite)
    began = time.perf_counter()
    photo = read_photo(path, max_pixels)
    check_keeps(photo, target)
    marked = boxes_mask(boxes, photo.size)
    if mask is not None:
        marked |= read_mask(mask, photo.size, invert, max_pixels)
    checked_mask(marked, photo.size, "What is marked")
    read = time.perf_counter()
    folder = intermediates / path.stem if intermediates else None
    filled, holes = inpainter.fill_photo(
        photo, marked, dilate=dilate, feather=feather, progress=progress, intermediates=folder
    )
    done = time.perf_counter()
    write_photo(filled, target)
    end = time.perf_counter()
    content = sum(hole.content_seconds for hole in holes)
    return {
        "photo": str(path),
        "output": str(target),
        "size": [photo.size[1], photo.size[0]],
        "seconds": {
            "read": read - began,
            "content": content,
            "refinement": sum(scale.seconds for hole in holes for scale in hole.scales),
            "write": end - done,
            "total": end - began,
        },
        "holes": [hole.to_json() for hole in holes],
    }


FillOne = Callable[[Job, Callable[[float], None]], dict[str, Any]]


def bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
        disable=not CONSOLE.is_terminal,  # a log wants lines, not bars
    )


def run_single(jobs: list[Job], fill_one: FillOne, overwrite: bool) -> tuple[int, list[dict[str, Any]]]:
    """One photo, with a bar; its path on standard output."""
    with bar() as progress:
        task = progress.add_task(jobs[0][0].name, total=1.0)
        entry = fill_one(jobs[0], lambda done: progress.update(task, completed=done))
    print(entry["output"])
    return 0, [entry]


def run_many(jobs: list[Job], fill_one: FillOne, overwrite: bool) -> tuple[int, list[dict[str, Any]]]:
    """Photo after photo, a line for each; photos whose result exists are left out; a failure stops no other.

    Returns:
        The exit code (1 if one failed, 130 if interrupted) and an entry for each photo that was looked at.
    """
    entries: list[dict[str, Any]] = []
    skipped, failures, code = 0, [], 0
    with bar() as progress:
        task = progress.add_task("", total=float(len(jobs)))
        try:
            for number, job in enumerate(jobs):
                photo, _, target = job
                head = f"[{number + 1}/{len(jobs)}] {photo.name}"
                progress.update(task, description=photo.name, completed=number)
                if target.exists() and not overwrite:
                    skipped += 1
                    say(f"{head}: skipped, {target} exists")
                    continue
                try:
                    entry = fill_one(job, lambda done, n=number: progress.update(task, completed=n + done))  # type: ignore[misc]
                except UserError as error:
                    failures.append(f"{photo}: {error}")
                    entries.append({"photo": str(photo), "error": str(error)})
                    say(f"{head}: failed: {error}")
                    continue
                entries.append(entry)
                say(f"{head}: {len(entry['holes'])} hole(s) in {entry['seconds']['total']:.1f} s -> {target}")
            progress.update(task, completed=len(jobs))
        except KeyboardInterrupt:
            code = INTERRUPTED
            say("Interrupted: what is finished stays, and the same command goes on from there.")
    filled = sum("holes" in entry for entry in entries)
    say(f"{filled} filled, {skipped} skipped, {len(failures)} failed")
    for failure in failures:
        say(f"  {failure}")
    return code or (1 if failures else 0), entries


def say(line: str) -> None:
    CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


def write_report(path: Path, inpainter: Any, entries: list[dict[str, Any]], seconds: float, preset: str) -> None:
    from inpaint import provenance
    from inpaint.photos import writing

    content = {
        "photos": entries,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
        "device": str(inpainter.device),
        "preset": preset,
        "settings": {k: v for k, v in vars(inpainter.settings).items() if k != "scales"},  # each hole has its own
        "seed": inpainter.seed,
        "versions": provenance.versions(),
        "weights": {
            name: {"file": str(file), "sha256": provenance.sha256(file)}
            for name, file in inpainter.weight_files.items()
        },
    }
    with writing(path) as beside:
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def peak_memory() -> dict[str, int]:
    """The most that this process held, of main memory and of each CUDA device."""
    import torch

    peaks = {f"cuda:{n}": torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count())}
    try:
        import resource
    except ImportError:  # Windows does not say
        return peaks
    unit = 1 if sys.platform == "darwin" else 1024
    return {"main": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit} | peaks


def main() -> None:
    typer.run(fill)


if __name__ == "__main__":
    main()
