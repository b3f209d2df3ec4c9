"""Reads the jobs of a sweep from its folder, and names each by what sets it apart from the others."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inpaint.evaluation.folder import ResultsFolder
from inpaint.runs import records


class SweepJob(NamedTuple):
    """One job of a sweep: its folder, what became of it, what sets it apart, its measures by picture and by name."""

    results: ResultsFolder
    record: records.Record
    label: str
    rows: dict[str, dict[str, float]]

    @property
    def number(self) -> str:
        return self.results.path.name

    def has_stage(self, stage: str) -> bool:
        return any(f"{stage}_hole_psnr" in row for row in self.rows.values())


def read_jobs(folder: Path) -> list[SweepJob]:
    """Reads the jobs of a sweep that have begun, in the order of the numbers that their folders have for names."""
    folders = sorted((path for path in folder.glob("[0-9]*") if path.name.isdigit()), key=lambda path: int(path.name))
    found = [(path, record) for path in folders if (record := records.read(path))]
    labels = label_jobs([record.overrides for _, record in found])
    return [
        SweepJob(results := ResultsFolder(path), record, label or f"job {path.name}", results.read_rows())
        for (path, record), label in zip(found, labels, strict=True)
    ]


def label_jobs(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Says in words what sets each job apart: the overrides that the jobs do not share.

    `model.preset.alpha=0.1` is "alpha 0.1", `model/preset=paper` is "paper"; a single job has an empty label.
    """
    settings = [dict(override.lstrip("+").split("=", 1) for override in job if "=" in override) for job in overrides]
    keys = dict.fromkeys(key for job in settings for key in job)
    swept = [key for key in keys if len({job.get(key) for job in settings}) > 1]
    return [", ".join(_words(key, job[key]) for key in swept if key in job) for job in settings]


def _words(key: str, value: str) -> str:
    """The value, and before it the last part of its key unless the value is a word itself."""
    value = value.strip("[]").replace(",", " + ")
    words = re.sub(r"(?<=[a-zA-Z])_(?=[a-zA-Z])", " ", f"{re.split(r'[./]', key)[-1]} {value}")
    name, text = words[: len(words) - len(value)], words[len(words) - len(value) :]
    return text if re.match(r"(?!null|true|false)[a-zA-Z]", text) else name + text
