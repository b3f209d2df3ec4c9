"""Tells what the command does: lines and a progress bar for a person, a report in JSON for programs."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inpaint.errors import UserError
from inpaint.files import atomic, followed
from inpaint.fill.jobs import Entry
from inpaint.fill.printing import printable
from inpaint.photo.files import check_folder
from inpaint.photo.inpainter import Inpainter
from inpaint.runs import provenance

CONSOLE = Console(stderr=True)


def say(line: str) -> None:
    """Prints a line as it is, above the progress bar; of a name, what a terminal cannot show is escaped."""
    CONSOLE.print(printable(line, CONSOLE.encoding), markup=False, emoji=False, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A progress bar with the time that is left, where there is a terminal; nothing in a log."""
    return Progress(
        TextColumn("{task.description}", markup=False),  # a name in brackets is no markup
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
    larger = enlarged(*entry["enlargement"]["dilate"]) if "enlargement" in entry else ""
    return "filled", f"{holes(len(entry['holes']))}{larger} in {entry['seconds']['total']:.1f} s -> {entry['output']}"


def holes(count: int) -> str:
    """So many holes, in words."""
    return f"{count} hole{'' if count == 1 else 's'}"


def enlarged(least: int, most: int) -> str:
    """By how many pixels holes were enlarged, as a part of `outcome`'s line."""
    if most == 0:
        return ", not enlarged,"
    return f", enlarged by {most if least == most else f'{least} to {most}'} pixel{'' if most == 1 else 's'},"


def warnings(entry: Entry) -> list[str]:
    """What a person should know of a filled photo, a line each: holes not refined, remarks, what was not kept."""
    count = sum(not hole["scales"] and not hole["flat"] for hole in entry["holes"])
    lines = [f"{holes(count)} with too little around to take texture from, filled smoothly"] if count else []
    lines += entry.get("remarks", [])
    if lost := entry.get("not_kept"):
        lines.append(f"not kept: {', '.join(lost)}")
    return lines


def duration(seconds: float) -> str:
    """A time rounded for a reader: 42 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def check_report(path: Path, overwrite: bool) -> None:
    """Checks, before any work, that a report can be written to `path`; a UserError says why it cannot."""
    if path.is_dir() or {path.suffix.lower(), followed(path).suffix.lower()} != {".json"}:  # no photo, by way of a link
        raise UserError(f"{path} is no name for a report: give a file that ends with .json.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give the report another name, or --overwrite.")
    check_folder(followed(path).parent)


def report_of(inpainter: Inpainter, entries: list[Entry], seconds: float, preset: str) -> dict[str, Any]:
    """What came of each photo, what the run took, and what its results depend on."""
    devices = {f"cuda:{n}": torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count())}
    return {
        "photos": entries,
        "seconds": seconds,
        "peak_memory_bytes": {"main": provenance.peak_memory()} | devices,
        "device": str(inpainter.device),
        "precision": str(inpainter.vgg.dtype).removeprefix("torch."),  # of VGG
        "preset": preset,
        "settings": {k: v for k, v in vars(inpainter.settings).items() if k != "scales"},  # each hole has its own
        "seed": inpainter.seed,
        "versions": provenance.versions(),
        "weights": {n: {"file": str(f), "sha256": provenance.sha256(f)} for n, f in inpainter.weight_files.items()},
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Writes a report, whole or, with a UserError, not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
