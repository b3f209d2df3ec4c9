"""The jobs of a sweep side by side: one table of numbers with their intervals, and one picture."""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.statistics import Interval, bootstrap, paired
from inpaint.evaluation.table import COLUMNS, MEASURES, STAGES
from inpaint.files import atomic
from inpaint.imaging.pixels import middle
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs import records

SHOWN = ("hole_l1", "hole_l2", "hole_psnr", "hole_ssim", "sharpness", "seam")  # the measures in summary.md
Values = dict[str, dict[str, float]]  # a picture's id -> a measure's name -> its value


class Job(NamedTuple):
    """One job of the sweep: its folder, its record, what sets it apart from the others, its metrics.csv."""

    folder: Path
    record: records.Record
    label: str
    values: Values

    def has(self, stage: str) -> bool:
        return any(f"{stage}_hole_psnr" in row for row in self.values.values())

    def file(self, picture_id: str, kind: str) -> Path:
        return self.folder / "pictures" / picture_id / f"{kind}.png"

    def same(self, kind: str, ids: Sequence[str]) -> str:
        """A digest of these pictures: equal where two jobs have the same, and have some."""
        digest = hashlib.sha256(b"" if ids else bytes(self.folder))
        for picture_id in ids:
            digest.update(self.file(picture_id, kind).read_bytes())
        return digest.hexdigest()


class View(NamedTuple):
    """A column of the picture; those of the two stages are rows of the table as well."""

    label: str
    job: Job
    kind: str

    def measure(self, name: str) -> dict[str, float]:
        """One measure, by picture."""
        return {picture_id: row[f"{self.kind}_{name}"] for picture_id, row in self.job.values.items()}

    @property
    def measures(self) -> list[str]:
        return [name for name in MEASURES if any(f"{self.kind}_{name}" in row for row in self.job.values.values())]


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
    every = read_jobs(folder)
    if not every:
        raise UserError(f"{folder} holds no job of a sweep: give the folder that the sweep printed at its end.")
    done = [job for job in every if job.record.state == "finished" and job.values]
    ids = sorted(set.intersection(*(set(job.values) for job in done))) if done else []
    rows = [view for view in views(done, ids[:pictures]) if view.kind in STAGES]
    reference = [row for row in rows if row.job is done[0]][-1] if rows else None
    if worst and reference is not None:
        psnr = reference.measure("hole_psnr")
        ids.sort(key=lambda picture_id: psnr[picture_id])
    shown = ids[:pictures]
    failed = [job for job in every if job.record.state == "failed"]
    summary: dict[str, Any] = {
        "name": json.loads((done[0].folder / "metrics.json").read_text(encoding="utf-8"))["name"] if done else None,
        "pictures": len(ids),
        "reference": reference.label if reference else None,
        "rows": [_row(row, reference) for row in rows if reference],
        "shown": shown,
        "failed": [{"job": j.folder.name, "label": j.label, "error": j.record.error} for j in failed],
        "unfinished": [{"job": j.folder.name, "label": j.label} for j in every if j.record.state == "begun"],
    }
    with atomic(folder / "summary.json") as path:
        path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with atomic(folder / "summary.md") as path:
        path.write_text(markdown(summary), encoding="utf-8")
    if shown:
        write_picture(figure(views(done, shown), shown, closeups), folder / "summary.png")
    else:
        (folder / "summary.png").unlink(missing_ok=True)
    return summary


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a sweep that have begun, by number."""
    folders = sorted((path for path in folder.glob("[0-9]*") if path.name.isdigit()), key=lambda path: int(path.name))
    found = [(path, record) for path in folders if (record := records.read(path))]
    names = labels([record.overrides for _, record in found])
    return [
        Job(path, record, name or f"job {path.name}", _values(path / "metrics.csv"))
        for (path, record), name in zip(found, names, strict=True)
    ]


def labels(overrides: Sequence[Sequence[str]]) -> list[str]:
    """What sets each job apart: the overrides that the jobs do not share, in words.

    `model.preset.alpha=0.1` is "alpha 0.1", `model/preset=paper` is "paper"; a single job has no label.
    """
    settings = [dict(override.lstrip("+").split("=", 1) for override in job if "=" in override) for job in overrides]
    keys = dict.fromkeys(key for job in settings for key in job)
    swept = [key for key in keys if len({job.get(key) for job in settings}) > 1]
    return [", ".join(_words(key, job[key]) for key in swept if key in job) for job in settings]


def _words(key: str, value: str) -> str:
    value = value.strip("[]").replace(",", " + ")
    words = re.sub(r"(?<=[a-zA-Z])_(?=[a-zA-Z])", " ", f"{re.split(r'[./]', key)[-1]} {value}")
    name, text = words[: len(words) - len(value)], words[len(words) - len(value) :]
    return text if re.match(r"(?!null|true|false)[a-zA-Z]", text) else name + text


def views(done: Sequence[Job], ids: Sequence[str]) -> list[View]:
    """The columns: inputs, then job by job what its stages gave, then truths; of equal ones only the first."""
    firsts: dict[str, list[Job]] = {}
    for kind in COLUMNS:
        holders = [job for job in done if kind not in STAGES or job.has(kind)]
        different = {job.same(kind, ids): job for job in reversed(holders)}.values()
        firsts[kind] = holders if kind == "refined" else [job for job in holders if job in different]

    def view(job: Job, kind: str) -> View:
        if len(firsts[kind]) == 1:
            return View(COLUMNS[kind], job, kind)
        both = job.has("content") and len(firsts["content"]) > 1
        return View(f"{job.label}: {COLUMNS[kind]}" if both or kind not in STAGES else job.label, job, kind)

    stages = [view(job, kind) for job in done for kind in STAGES if job in firsts[kind]]
    inputs, truths = ([view(job, kind) for job in firsts[kind]] for kind in ("input", "truth"))
    return [*inputs, *stages, *truths]


def figure(
    columns: Sequence[View], ids: Sequence[str], closeups: bool = False, side: int = 256
) -> Float[Tensor, "3 height width"]:
    """One row a picture (and one of its close-ups), one column a view."""
    rows = []
    for picture_id in ids:
        rows.append([read_picture(view.job.file(picture_id, view.kind)) for view in columns])
        if closeups:
            rows.append([closeup(view, picture_id) for view in columns])
    return gallery(rows, [view.label for view in columns], side)


def closeup(view: View, picture_id: str) -> Float[Tensor, "3 height width"]:
    """The middle half of the bounding box of its own job's hole: of where input and truth differ, if they do."""
    picture, shown, truth = (read_picture(view.job.file(picture_id, kind)) for kind in (view.kind, "input", "truth"))
    hole = (shown != truth).any(0).nonzero()
    if not len(hole):
        return middle(picture)
    (top, left), (bottom, right) = hole.amin(0).tolist(), (hole.amax(0) + 1).tolist()
    return middle(picture[:, top:bottom, left:right])


def markdown(summary: dict[str, Any]) -> str:
    """The tables of summary.md."""
    rows, heads = summary["rows"], [MEASURES[name] for name in SHOWN]
    parts = []
    if rows:
        table = [
            [row["label"], *(_text(row["measures"].get(name)) for name in SHOWN), f"{row['seconds']:.1f}"]
            for row in rows
        ]
        changes = [
            [row["label"], *(_text(row["differences"].get(name), "+") for name in SHOWN)]
            for row in rows
            if row["differences"] and row["label"] != summary["reference"]
        ]
        parts += [
            f"Means over the pictures ({summary['pictures']} in every job), with 95 % bootstrap intervals.",
            _table(["", *heads, "seconds a picture, both stages"], table),
        ]
        if changes:
            parts += [
                f"Differences to **{summary['reference']}**, picture by picture: the pictures bear out one whose "
                "interval excludes 0.",
                _table(["", *heads], changes),
            ]
    if summary["shown"]:
        parts.append(f"Shown: {', '.join(summary['shown'])}.")
    return "\n\n".join([*parts, *shortcomings(summary)]) + "\n"


def shortcomings(summary: dict[str, Any]) -> list[str]:
    """A line for each job that failed or has not finished."""
    return [
        *(f"Failed: {job['label']} (job {job['job']}): {job['error']}" for job in summary["failed"]),
        *(f"Not finished: {job['label']} (job {job['job']})." for job in summary["unfinished"]),
    ]


def _row(row: View, reference: View) -> dict[str, Any]:
    seconds = [values["seconds"] for values in row.job.values.values()]
    in_common = row.job.values.keys() & reference.job.values.keys()
    shared = [name for name in row.measures if name in reference.measures] if in_common else []
    return {
        "label": row.label,
        "job": row.job.folder.name,
        "stage": row.kind,
        "pictures": len(row.job.values),
        "measures": {name: _numbers(bootstrap([*row.measure(name).values()])) for name in row.measures},
        "differences": {name: _numbers(paired(reference.measure(name), row.measure(name))) for name in shared},
        "seconds": sum(seconds) / len(seconds),
    }


def _values(path: Path) -> Values:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row.pop("id"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)}


def _numbers(interval: Interval) -> dict[str, float | None]:
    """For JSON, which holds no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in interval._asdict().items()}


def _text(interval: dict[str, float | None] | None, sign: str = "") -> str:
    if interval is None or interval["mean"] is None:
        return ""
    mean, low, high = (f"{value:{sign}.3f}" if value is not None else "?" for value in interval.values())
    return mean if low == high else f"{mean} ({low} to {high})"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
