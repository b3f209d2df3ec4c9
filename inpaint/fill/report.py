"""Tells what the command does: lines and a progress bar for a person, a report in JSON for programs."""

import json
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.fill.jobs import Entry
from inpaint.photo.files import check_folder
from inpaint.photo.inpainter import Inpainter
from inpaint.runs import provenance

CONSOLE = Console(stderr=True)


def say(line: str) -> None:
    """Prints a line as it is, above the progress bar."""
    CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A progress bar with the time that is left, where there is a terminal; nothing in a log."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
        speed_estimate_period=600,  # a large hole's steps are further apart than the default, 30 seconds
        disable=not CONSOLE.is_terminal,
    )


def outcome(entry: Entry) -> tuple[str, str]:
    """What became of a job: filled, skipped or failed, and a line about it."""
    if "skipped" in entry:
        return "skipped", f"skipped, {entry['skipped']} exists"
    if "error" in entry:
        return "failed", f"failed: {entry['error']}"
    return "filled", f"{len(entry['holes'])} hole(s) in {entry['seconds']['total']:.1f} s -> {entry['output']}"


def warning(entry: Entry) -> str:
    """What a person should know of a filled photo: that some holes could not be refined; empty if all were."""
    count = sum(not hole["scales"] for hole in entry["holes"])
    return f"{count} hole(s) with too little around to take texture from, filled smoothly" if count else ""


def duration(seconds: float) -> str:
    """A time rounded for a reader: 42 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def check_report(path: Path, overwrite: bool) -> None:
    """Checks, before any work, that a report can be written to `path`; a UserError says why it cannot."""
    if path.suffix.lower() != ".json" or path.is_dir():
        raise UserError(f"{path} is no name for a report: give a file that ends with .json.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give the report another name, or --overwrite.")
    check_folder(path.parent)


def write_report(path: Path, inpainter: Inpainter, entries: list[Entry], seconds: float, preset: str) -> None:
    """Writes what came of each photo, what the run took, and what its results depend on."""
    devices = {f"cuda:{n}": torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count())}
    content = {
        "photos": entries,
        "seconds": seconds,
        "peak_memory_bytes": {"main": provenance.peak_memory()} | devices,
        "preset": preset,
        "settings": {k: v for k, v in vars(inpainter.settings).items() if k != "scales"},  # each hole has its own
        "seed": inpainter.seed,
        "versions": provenance.versions(),
        "weights": {n: {"file": str(f), "sha256": provenance.sha256(f)} for n, f in inpainter.weight_files.items()},
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
