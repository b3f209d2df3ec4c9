"""Compares the jobs of a sweep, with confidence intervals, in JSON, in a page of Markdown and in a picture."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaint.errors import UserError
from inpaint.evaluation.columns import Column, figure, make_columns, same_hole, stage_columns
from inpaint.evaluation.statistics import Interval, mean_interval, paired_difference
from inpaint.evaluation.summary_page import page
from inpaint.evaluation.sweep_jobs import SweepJob, read_jobs
from inpaint.evaluation.table import SET_MEASURES, by_area, for_json, in_order
from inpaint.files import atomic
from inpaint.imaging.reading import write_picture
from inpaint.runs.records import swept_settings


def compare(folder: Path, pictures: int = 8, closeups: bool = False, worst: bool = False) -> dict[str, Any]:
    """Compares the jobs of a sweep, at its end or at any time before; returns the summary.

    Writes into `folder`:

    - `summary.json`: `{"name", "pictures", "reference", "rows": [{"label", "job", "stage", "features", "pictures",
      "measures": {name: {"mean", "low", "high"}}, "reference", "differences": {same}, "seconds", "by_area": {class:
      {"pictures", "measures"}}}], "shown": [id], "failed": [{"job", "label", "error"}], "unfinished": [{"job",
      "label"}]}`. Intervals are 95 % intervals over pictures (`mean_interval`), `null` below six pictures. The
      differences are paired, picture by picture, to the row that `reference` names: the last stage of another job
      whose holes and true pictures are the same. That is the first of them; where they differ in several settings, the
      first that differs from the row's job in the last setting alone, if there is one. The summary's own `reference` is
      that of its first row. `features` names the network whose features were matched; `seconds` is `null` where nobody
      knows them; `by_area` is empty unless a job's holes fall into several classes;
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
    stages = stage_columns(done, ids)
    references = _references(stages, ids)
    if worst and references:
        psnr = references[0].measure("hole_psnr")
        ids.sort(key=lambda picture_id: psnr[picture_id])
    shown = ids[:pictures]
    failed = [job for job in jobs if job.record.state == "failed"]
    several = any(len(by_area(stage.job.areas)) > 1 for stage in stages)
    summary: dict[str, Any] = {
        "name": done[0].means.get("name") if done else None,
        "pictures": len(ids),
        "reference": references[0].label if references else None,
        "rows": [_row(stage, reference, several) for stage, reference in zip(stages, references, strict=True)],
        "shown": shown,
        "failed": [{"job": job.number, "label": job.label, "error": job.record.error} for job in failed],
        "unfinished": [{"job": job.number, "label": job.label} for job in jobs if job.record.state == "begun"],
    }
    text = "\n\n".join([*page(summary), *shortcomings(summary)]) + "\n"
    numbers = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    for name, content in (("summary.json", numbers), ("summary.md", text)):
        with atomic(folder / name) as path:
            path.write_text(content, encoding="utf-8")
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


def comparison_table(summary: dict[str, Any]) -> tuple[list[str], list[list[str | float | None]]]:
    """Lays out a summary as one table of numbers, a row for each of its rows: returns the columns' names, and the rows.

    After `job`, its label, every measure that a row has gives six columns: `hole_psnr` (the mean), `hole_psnr low`,
    `hole_psnr high`, `hole_psnr difference`, `hole_psnr difference low`, `hole_psnr difference high`. None stands where
    a number is not defined.
    """
    names = in_order(name for row in summary["rows"] for name in row["measures"])
    parts = {"measures": "", "differences": " difference"}
    bounds = {"mean": "", "low": " low", "high": " high"}
    columns = [f"{name}{part}{bound}" for name in names for part in parts.values() for bound in bounds.values()]
    rows = [
        [row["label"], *(row[part].get(name, {}).get(bound) for name in names for part in parts for bound in bounds)]
        for row in summary["rows"]
    ]
    return ["job", *columns], rows


def _references(stages: Sequence[Column], ids: Sequence[str]) -> list[Column]:
    """To each stage, what it is compared with: the last stage of a job with the same holes, see `compare`."""
    last = {stage.job.number: stage for stage in stages}
    same = same_hole([stage.job for stage in last.values()], ids)
    groups: dict[str, list[SweepJob]] = defaultdict(list)
    for number, stage in last.items():
        groups[same[number]].append(stage.job)
    references = {number: other for group in groups.values() for number, other in _reference_jobs(group).items()}
    return [last[references[stage.job.number]] for stage in stages]


def _reference_jobs(jobs: Sequence[SweepJob]) -> dict[str, str]:
    """By each job's number, that of the first which shares all swept settings with it but the last.

    A job that shares them with no other, as in a random search, has the first job of all.
    """
    settings = swept_settings([job.record.overrides for job in jobs])
    last = [*dict.fromkeys(key for job in settings for key in job)][-1:]
    shared = [tuple((key, value) for key, value in job.items() if key not in last) for job in settings]
    count = Counter(shared)
    return {
        job.number: jobs[shared.index(values) if count[values] > 1 else 0].number
        for job, values in zip(jobs, shared, strict=True)
    }


def _row(stage: Column, reference: Column, several: bool) -> dict[str, Any]:
    """The measures of one stage of one job, their differences to the reference, and those by area if asked for."""
    seconds = mean_interval([measured["seconds"] for measured in stage.job.rows.values()]).mean
    pairs = {name: (reference.measure(name), stage.measure(name)) for name in stage.measures}
    of_set = stage.job.means.get(stage.kind, {})
    measures = {
        **_means({name: values for name, (_, values) in pairs.items()}),
        **{name: {"mean": of_set[name], "low": None, "high": None} for name in SET_MEASURES if name in of_set},
    }
    differences = {name: paired_difference(*pair) for name, pair in pairs.items() if pair[0].keys() & pair[1].keys()}
    classes = by_area(stage.job.areas) if several else {}
    return {
        "label": stage.label,
        "job": stage.job.number,
        "stage": stage.kind,
        "features": stage.job.means.get("features") if stage.kind == "refined" else None,
        "pictures": len(stage.job.rows),
        "measures": {name: measures[name] for name in in_order(measures)},
        "reference": reference.label,
        "differences": {name: _bounds(differences[name]) for name in in_order(differences)},
        "seconds": for_json(seconds),
        "by_area": {
            area: {
                "pictures": len(ids),
                "measures": _means({name: _of(pairs[name][1], ids) for name in in_order(pairs)}),
            }
            for area, ids in classes.items()
        },
    }


def _means(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """The mean of each measure, by picture, with its interval."""
    return {name: _bounds(mean_interval([*column.values()])) for name, column in values.items() if column}


def _of(values: Mapping[str, float], ids: Sequence[str]) -> dict[str, float]:
    return {picture_id: values[picture_id] for picture_id in ids if picture_id in values}


def _bounds(interval: Interval) -> dict[str, float | None]:
    return for_json(interval._asdict())
