"""Compares the jobs of a sweep, with confidence intervals, in JSON, in a page of Markdown and in a picture."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.statistics import Interval, bootstrap, paired_difference
from inpaint.evaluation.sweep_jobs import SweepJob, read_jobs
from inpaint.evaluation.table import HEADINGS, MEASURES, STAGES, for_json
from inpaint.files import atomic
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import middle
from inpaint.imaging.reading import read_picture, write_picture

SUMMARY_MEASURES = ("hole_l1", "hole_l2", "hole_psnr", "hole_ssim", "perceptual", "sharpness", "seam")
"""The measures in the tables of summary.md."""


def compare(folder: Path, pictures: int = 8, closeups: bool = False, worst: bool = False) -> dict[str, Any]:
    """Compares the jobs of a sweep, at its end or at any time before; returns the summary.

    Writes into `folder`:

    - `summary.json`: `{"name", "pictures", "reference", "rows": [{"label", "job", "stage", "pictures", "measures":
      {name: {"mean", "low", "high"}}, "differences": {same}, "seconds"}], "shown": [id], "failed": [{"job", "label",
      "error"}], "unfinished": [{"job", "label"}]}`. Intervals are 95 % bootstrap intervals over pictures; the
      differences are paired, picture by picture, to the last stage of the first job;
    - `summary.md`: the same as tables;
    - `summary.png`: a row a picture, a column a job; what is the same in every job stands there once.

    Args:
        folder: of the sweep; the jobs are its subfolders with a number for a name.
        pictures: at most this many in summary.png, in the order of their ids.
        closeups: below each picture, the middle half of its hole's bounding box, enlarged.
        worst: the pictures with the lowest PSNR in the hole, in the last stage of the first job, come first.

    Raises:
        UserError: the folder holds no job.
    """
    jobs = read_jobs(folder)
    if not jobs:
        raise UserError(f"{folder} holds no job of a sweep: give the folder that the sweep printed at its end.")
    done = [job for job in jobs if job.record.state == "finished" and job.rows]
    ids = sorted(set.intersection(*(set(job.rows) for job in done))) if done else []
    stages = [column for column in make_columns(done, ids[:pictures]) if column.kind in STAGES]
    reference = [stage for stage in stages if stage.job is done[0]][-1] if stages else None
    if worst and reference is not None:
        psnr = reference.measure("hole_psnr")
        ids.sort(key=lambda picture_id: psnr[picture_id])
    shown = ids[:pictures]
    failed = [job for job in jobs if job.record.state == "failed"]
    summary: dict[str, Any] = {
        "name": done[0].results.read_name() if done else None,
        "pictures": len(ids),
        "reference": reference.label if reference else None,
        "rows": [_row(stage, reference) for stage in stages if reference],
        "shown": shown,
        "failed": [{"job": job.number, "label": job.label, "error": job.record.error} for job in failed],
        "unfinished": [{"job": job.number, "label": job.label} for job in jobs if job.record.state == "begun"],
    }
    numbers = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    for name, text in (("summary.json", numbers), ("summary.md", _page(summary))):
        with atomic(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    if shown:
        write_picture(figure(make_columns(done, shown), shown, closeups), folder / "summary.png")
    else:
        (folder / "summary.png").unlink(missing_ok=True)
    return summary


def shortcomings(summary: dict[str, Any]) -> list[str]:
    """Says in a line each which jobs failed, and which have not finished."""
    return [
        *(f"Failed: {job['label']} (job {job['job']}): {job['error']}" for job in summary["failed"]),
        *(f"Not finished: {job['label']} (job {job['job']})." for job in summary["unfinished"]),
    ]


class Column(NamedTuple):
    """One kind of picture of one job. Those of the two stages are rows of the table of numbers as well."""

    label: str
    job: SweepJob
    kind: str

    def picture(self, picture_id: str) -> Float[Tensor, "3 height width"]:
        return read_picture(self.job.results.picture(picture_id, self.kind))

    def measure(self, name: str) -> dict[str, float]:
        """One measure of a stage, by picture; empty if it was not taken."""
        key = f"{self.kind}_{name}"
        return {picture_id: row[key] for picture_id, row in self.job.rows.items() if key in row}


def make_columns(jobs: Sequence[SweepJob], ids: Sequence[str]) -> list[Column]:
    """Makes the columns: inputs, then job by job what its stages gave, then truths.

    Where several jobs have the same input, truth or content network's prediction in all these pictures, only the first
    of them has that column; what is refined always has one.
    """
    firsts: dict[str, list[SweepJob]] = {}
    for kind in HEADINGS:
        holders = [job for job in jobs if kind not in STAGES or job.has_stage(kind)]
        different = {_digest(job, kind, ids): job for job in reversed(holders)}.values()
        firsts[kind] = holders if kind == "refined" else [job for job in holders if job in different]

    def column(job: SweepJob, kind: str) -> Column:
        if len(firsts[kind]) == 1:
            return Column(HEADINGS[kind], job, kind)
        both = job.has_stage("content") and len(firsts["content"]) > 1
        return Column(f"{job.label}: {HEADINGS[kind]}" if both or kind not in STAGES else job.label, job, kind)

    stages = [column(job, kind) for job in jobs for kind in STAGES if job in firsts[kind]]
    inputs, truths = ([column(job, kind) for job in firsts[kind]] for kind in ("input", "truth"))
    return [*inputs, *stages, *truths]


def _digest(job: SweepJob, kind: str, ids: Sequence[str]) -> str:
    """Hashes these pictures of a job: equal for two jobs that have the same, and have some."""
    digest = hashlib.sha256(b"" if ids else bytes(job.results.path))
    for picture_id in ids:
        digest.update(job.results.picture(picture_id, kind).read_bytes())
    return digest.hexdigest()


def figure(columns: Sequence[Column], ids: Sequence[str], closeups: bool) -> Float[Tensor, "3 height width"]:
    """Draws one row a picture, and below it one of its close-ups if they are wanted."""
    rows = []
    for picture_id in ids:
        rows.append([column.picture(picture_id) for column in columns])
        if closeups:
            rows.append([_closeup(column, picture_id) for column in columns])
    return gallery(rows, [column.label for column in columns])


def _closeup(column: Column, picture_id: str) -> Float[Tensor, "3 height width"]:
    """The middle half of the bounding box of its own job's hole: of where input and truth differ, if they do."""
    kinds = (column.kind, "input", "truth")
    picture, masked, truth = (column._replace(kind=kind).picture(picture_id) for kind in kinds)
    hole = (masked != truth).any(0)
    return middle(Box.around(hole).of(picture) if hole.any() else picture)


def _row(stage: Column, reference: Column) -> dict[str, Any]:
    """The measures of one stage of one job, and their differences to the reference."""
    seconds = [measured["seconds"] for measured in stage.job.rows.values()]
    pairs = {name: (reference.measure(name), values) for name in MEASURES if (values := stage.measure(name))}
    means = {name: bootstrap([*values.values()]) for name, (_, values) in pairs.items()}
    differences = {name: paired_difference(*pair) for name, pair in pairs.items() if pair[0].keys() & pair[1].keys()}
    return {
        "label": stage.label,
        "job": stage.job.number,
        "stage": stage.kind,
        "pictures": len(stage.job.rows),
        "measures": {name: for_json(interval._asdict()) for name, interval in means.items()},
        "differences": {name: for_json(interval._asdict()) for name, interval in differences.items()},
        "seconds": sum(seconds) / len(seconds),
    }


def _page(summary: dict[str, Any]) -> str:
    """The text of summary.md."""
    rows, headings = summary["rows"], [MEASURES[name] for name in SUMMARY_MEASURES]
    different = [row for row in rows if row["differences"] and row["label"] != summary["reference"]]
    parts = []
    if rows:
        parts += [
            f"Means over the pictures ({summary['pictures']} in every job), with 95 % bootstrap intervals.",
            _table(
                ["", *headings, "seconds a picture, both stages"],
                ([row["label"], *_cells(row["measures"]), f"{row['seconds']:.1f}"] for row in rows),
            ),
        ]
    if different:
        parts += [
            f"Differences to **{summary['reference']}**, picture by picture: the pictures bear out one whose interval "
            "excludes 0.",
            _table(["", *headings], ([row["label"], *_cells(row["differences"], "+")] for row in different)),
        ]
    if summary["shown"]:
        parts.append(f"Shown: {', '.join(summary['shown'])}.")
    return "\n\n".join([*parts, *shortcomings(summary)]) + "\n"


def _cells(intervals: dict[str, dict[str, float | None]], sign: str = "") -> Iterator[str]:
    """Each measure's mean with its interval; nothing where it is not defined."""
    for name in SUMMARY_MEASURES:
        numbers = intervals.get(name, dict.fromkeys(Interval._fields)).values()
        mean, low, high = ("" if number is None else f"{number:{sign}.3f}" for number in numbers)
        yield mean if low == high else f"{mean} ({low or '?'} to {high or '?'})"


def _table(headings: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
