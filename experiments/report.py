"""The summary of a sweep, at any time: `python -m experiments.report FOLDER [--publish STUDY]`.

    python -m experiments.report outputs/alpha_sweep/2026-01-31_12-00-00

writes `summary.json`, `summary.md` and `summary.png` into the folder anew, from the jobs that it holds by now.
`--publish alpha_sweep` also writes `experiments/alpha_sweep/results.md` and `summary.jpg`, and builds
`experiments/RESULTS.md` out of all that has been published. Exit code 1: a job failed or is not finished.
"""

import argparse
import datetime
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from PIL import Image

from experiments.machine import machine
from experiments.pictures import save_jpeg
from experiments.studies import studies
from inpaint.errors import UserError
from inpaint.evaluation.comparison import compare, shortcomings
from inpaint.evaluation.sweep_jobs import read_jobs
from inpaint.files import atomic

HERE = Path(__file__).parent
WIDEST = 1600  # pixels, of summary.jpg


def comparison_options(folder: Path) -> dict[str, Any]:
    """Reads how the sweep itself compared its jobs, as options of `compare`."""
    path = folder / "multirun.yaml"  # Hydra writes it when a sweep starts
    chosen = OmegaConf.select(OmegaConf.load(path), "hydra.callbacks.comparison") if path.is_file() else None
    return {key: value for key, value in (chosen or {}).items() if key != "_target_"}


def publish(folder: Path, study: str, summary: dict[str, Any]) -> None:
    """Writes `results.md` and `summary.jpg` of a study, and RESULTS.md.

    Raises:
        UserError: there is no such study, or the sweep has no results.
    """
    if study not in studies():
        raise UserError(f"There is no study {study!r}: choose one of {', '.join(studies())}.")
    if not summary["shown"]:
        raise UserError(f"No job in {folder} has finished with pictures that all share: there is nothing to publish.")
    write_jpeg(folder / "summary.png", HERE / study / "summary.jpg")
    day = datetime.date.fromtimestamp((folder / "summary.png").stat().st_mtime)
    made = f"Made on {day} by `{command(folder)}`, torch {torch.__version__}, {machine()}."
    text = f"{made}\n\n![{study}](summary.jpg)\n\n{(folder / 'summary.md').read_text(encoding='utf-8')}"
    write(HERE / study / "results.md", text)
    write(HERE / "RESULTS.md", chapters())


def chapters() -> str:
    """The text of RESULTS.md: the results of every study that has been published, under the titles of their READMEs."""
    parts = ["# Results\n\nWritten by `python -m experiments.report`; `make reproduce` makes all of it."]
    for study in studies():
        if (HERE / study / "results.md").is_file():
            title = (HERE / study / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            results = (HERE / study / "results.md").read_text(encoding="utf-8").strip()
            parts.append(f"## [{title}]({study}/README.md)\n\n{results.replace('](summary', f']({study}/summary')}")
    return "\n\n".join(parts) + "\n"


def command(folder: Path) -> str:
    """The command that made the sweep, of the overrides that all its jobs share; of absolute paths, the last part."""
    first, *others = (job.record.overrides for job in read_jobs(folder))
    shared = []
    for override in [o for o in first if all(o in other for other in others)]:
        key, _, value = override.partition("=")
        shared.append(f"{key}=.../{Path(value).name}" if Path(value).is_absolute() else override)
    begin = next((i for i, override in enumerate(shared) if override.startswith("+experiment=")), 0)
    return shlex.join(["python", "-m", "inpaint.train", *shared[begin:]])  # before it stands a sweep of one value


def write_jpeg(source: Path, target: Path) -> None:
    """Copies a picture as a JPEG of at most WIDEST pixels across."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    save_jpeg(picture, target)


def write(target: Path, text: str) -> None:
    with atomic(target) as path:
        path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the sweep")
    parser.add_argument("--publish", metavar="STUDY", help="the folder of experiments/ to write the results into")
    given = parser.parse_args()
    try:
        summary = compare(given.folder, **comparison_options(given.folder))
        if given.publish:
            publish(given.folder, given.publish, summary)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    for line in shortcomings(summary):
        print(line)
    print(HERE / given.publish / "results.md" if given.publish else given.folder / "summary.md")
    if shortcomings(summary):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
