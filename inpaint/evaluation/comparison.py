"""Compares the jobs of a sweep: numbers with intervals and differences, as JSON and as a page, and one picture."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from inpaint.errors import UserError
from inpaint.evaluation.columns import Column, figure, make_columns
from inpaint.evaluation.statistics import Interval, bootstrap, paired_difference
from inpaint.evaluation.sweep_jobs import read_jobs
from inpaint.evaluation.table import MEASURES, STAGES, for_json
from inpaint.files import atomic
from inpaint.imaging.reading import write_picture

SUMMARY_MEASURES = ("hole_l1", "hole_l2", "hole_psnr", "hole_ssim", "sharpness", "seam")
"""The measures in the tables of summary.md."""


def compare(folder: Path, pictures: int = 8, closeups: bool = False, worst: bool = False) -> dict[str, Any]:
    """Compares the jobs of a sweep, at its end or at any time before.

    Writes into `folder`:

    - `summary.json`, which is also returned: `{"name", "pictures", "reference", "rows": [{"label", "job", "stage",
      "pictures", "measures": {name: {"mean", "low", "high"}}, "differences": {same}, "seconds"}], "shown": [id],
      "failed": [{"job", "label", "error"}], "unfinished": [{"job", "label"}]}`. Intervals are 95 % bootstrap intervals
      over pictures; the differences are paired, picture by picture, to the last stage of the first job;
    - `summary.md`: the same as tables;
    - `summary.png`: a row a picture, a column a job; what is the same in every job (input, truth, mostly the content
      network's prediction) stands there once.

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
    with atomic(folder / "summary.json") as path:
        path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with atomic(folder / "summary.md") as path:
        path.write_text(_page(summary), encoding="utf-8")
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


def _row(stage: Column, reference: Column) -> dict[str, Any]:
    """The measures of one stage of one job, and their differences to the reference."""
    seconds = [measured["seconds"] for measured in stage.job.rows.values()]
    in_common = stage.job.rows.keys() & reference.job.rows.keys()
    means = {name: bootstrap([*stage.measure(name).values()]) for name in stage.measures}
    differences = {
        name: paired_difference(reference.measure(name), stage.measure(name))
        for name in stage.measures
        if in_common and name in reference.measures
    }
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


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
