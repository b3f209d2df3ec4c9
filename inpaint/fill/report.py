"""What the command tells: lines, a bar, and the report."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inpaint.errors import UserError
from inpaint.fill.jobs import Entry

CONSOLE = Console(stderr=True)


def check_report(path: Path, overwrite: bool) -> None:
    """Raises:
    UserError: something other than a report could be lost there; a report too, unless it may be.
    """
    if path.suffix.lower() != ".json" or path.is_dir():
        raise UserError(f"{path} is no name for a report: give a file that ends with .json.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give the report another name, or --overwrite.")


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

    from inpaint.files import atomic
    from inpaint.runs import provenance

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
