"""The summary of a sweep, at any time: `python -m inpaint.evaluation.report FOLDER [--publish PATH]`.

    python -m inpaint.evaluation.report outputs/my_study/2026-01-31_12-00-00

writes `summary.json`, `summary.md` and `summary.png` into the folder anew, from the jobs that it holds by now.
`--publish my_study` also writes `my_study/results.md`, with the command that made them, and `my_study/summary.jpg`: a
page to keep beside one's own configuration. Exit code 1: a job failed or is not finished.
"""

import argparse
import datetime
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from inpaint.errors import UserError
from inpaint.evaluation.comparison import compare, shortcomings
from inpaint.evaluation.sweep_jobs import read_jobs
from inpaint.files import atomic

WIDEST = 1600  # pixels, of summary.jpg


def settings(folder: Path) -> DictConfig:
    """What Hydra was told to do in the sweep, from the file that stands in its folder; empty if there is none."""
    path = folder / "multirun.yaml"
    found = OmegaConf.select(OmegaConf.load(path), "hydra") if path.is_file() else None
    return found if found is not None else OmegaConf.create()


def comparison_options(folder: Path) -> dict[str, Any]:
    """Reads how the sweep itself compared its jobs, as options of `compare`."""
    chosen = OmegaConf.select(settings(folder), "callbacks.comparison") or {}
    return {key: value for key, value in chosen.items() if key != "_target_"}


def command(folder: Path) -> str:
    """The command that made the sweep, without what says only where it ran; of absolute paths, the last part."""
    hydra = settings(folder)
    given = OmegaConf.select(hydra, "overrides.hydra") or []
    sources = OmegaConf.select(hydra, "runtime.config_sources") or []
    own = [source.path for source in sources if source.provider == "command-line"]
    words = ["-m"] if "hydra.mode=MULTIRUN" in given else []
    words += [word for path in own for word in ("--config-dir", _last_part(path))]
    words += [word for word in given if word.startswith(("hydra/sweeper", "hydra.sweeper"))]
    for override in OmegaConf.select(hydra, "overrides.task") or []:
        key, equals, value = override.partition("=")
        words.append(f"{key}{equals}{_last_part(value)}")
    return shlex.join(["python", "-m", "inpaint.train", *words])


def _last_part(text: str) -> str:
    return f".../{Path(text).name}" if Path(text).is_absolute() else text


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture as a JPEG."""
    with atomic(path) as beside:
        picture.save(beside, quality=85, optimize=True)


def publish(
    folder: Path,
    target: Path,
    summary: dict[str, Any],
    machine: str = "",
    save_jpeg: Callable[[Image.Image, Path], None] = save,
) -> Path:
    """Writes `results.md` and `summary.jpg` of a sweep into the folder `target`, and returns the former's path.

    Args:
        folder: of the sweep.
        summary: what `compare` returned.
        machine: where it was made, as the end of a sentence.
        save_jpeg: writes a picture of at most WIDEST pixels across.

    Raises:
        UserError: the sweep has no results.
    """
    if not summary["rows"]:
        raise UserError(f"No job in {folder} has finished with pictures: there is nothing to publish.")
    ends = [path.stat().st_mtime for job in read_jobs(folder) if (path := job.results.path / "metrics.json").is_file()]
    made = ", ".join(filter(None, [f"by `{command(folder)}`", f"torch {torch.__version__}", machine]))
    parts = [f"Made on {datetime.date.fromtimestamp(max(ends))} {made}."]
    if summary["shown"]:
        with Image.open(folder / "summary.png") as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
        save_jpeg(picture, target / "summary.jpg")
        parts.append(f"![{target.resolve().name}](summary.jpg)")
    with atomic(target / "results.md") as path:
        path.write_text("\n\n".join([*parts, (folder / "summary.md").read_text(encoding="utf-8")]), encoding="utf-8")
    return target / "results.md"


def report(description: str | None, where: str, publish_into: Callable[[Path, str, dict[str, Any]], Path]) -> None:
    """Does what the command line asks for, and ends with its exit code.

    Args:
        description: of the command.
        where: what --publish takes.
        publish_into: of the sweep's folder, what --publish was given, and the summary; returns the page's path.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the sweep")
    parser.add_argument("--publish", metavar="PATH", help=where)
    given = parser.parse_args()
    try:
        summary = compare(given.folder, **comparison_options(given.folder))
        page = publish_into(given.folder, given.publish, summary) if given.publish else given.folder / "summary.md"
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    for line in shortcomings(summary):
        print(line)
    print(page)
    if shortcomings(summary):
        raise SystemExit(1)


def main() -> None:
    report(__doc__, "the folder to write the results into", lambda folder, path, s: publish(folder, Path(path), s))


if __name__ == "__main__":
    main()
