"""Reads the jobs of a sweep from its folder, and names each by what sets it apart from the others."""

from pathlib import Path
from typing import Any, NamedTuple

from inpaint.evaluation.folder import ResultsFolder
from inpaint.runs import records
from inpaint.runs.records import label_jobs


class SweepJob(NamedTuple):
    """One job of a sweep.

    Attributes:
        results: its folder.
        record: what became of it.
        label: what sets it apart.
        rows: its measures by picture and by name; empty while there are none.
        means: what its metrics.json holds; empty while there is none.
    """

    results: ResultsFolder
    record: records.Record
    label: str
    rows: dict[str, dict[str, float]]
    means: dict[str, Any]

    @property
    def number(self) -> str:
        return self.results.path.name

    @property
    def areas(self) -> dict[str, float]:
        """The holes' areas in percent, by picture; those of an older version have none."""
        return {picture_id: row["area"] for picture_id, row in self.rows.items() if "area" in row}

    def has_stage(self, stage: str) -> bool:
        return any(f"{stage}_hole_psnr" in row for row in self.rows.values())


def read_jobs(folder: Path) -> list[SweepJob]:
    """Reads the jobs of a sweep that have begun, in the order of the numbers that their folders have for names."""
    folders = sorted((path for path in folder.glob("[0-9]*") if path.name.isdigit()), key=lambda path: int(path.name))
    found = [(path, record) for path in folders if (record := records.read(path))]
    labels = label_jobs([record.overrides for _, record in found])
    return [
        SweepJob(
            results := ResultsFolder(path),
            record,
            label or f"job {path.name}",
            results.read_rows(),
            results.read_means(),
        )
        for (path, record), label in zip(found, labels, strict=True)
    ]
