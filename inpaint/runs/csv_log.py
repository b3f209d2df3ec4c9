"""The CSV logger: a table of what a run logs, which a resumed run goes on with."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from inpaint.files import atomic


class CSVLog(CSVLogger):
    """Lightning's CSV logger, except that it goes on with the table that it finds, where Lightning deletes it.

    A checkpoint keeps the number of `rows`, and `cut` takes the table back to it.

    Args:
        save_dir, name, version: the folder of the table is `save_dir/name/version`.
    """

    def __init__(self, save_dir: str | Path, name: str, version: str) -> None:
        super().__init__(save_dir, name, version)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:  # Lightning has no other way to give it another writer
            self._experiment = Table(self.log_dir)
        return self._experiment

    @property
    def rows(self) -> int:
        """How many rows the table has, in the main process; 0 in the others."""
        return self.experiment.written + len(self.experiment.metrics) if self._experiment else 0

    @rank_zero_only
    def cut(self, rows: int) -> None:
        """Forgets all rows but the first `rows`."""
        self.save()
        self.experiment.cut(rows)


class Table(ExperimentWriter):
    """Lightning's writer of `metrics.csv`, on top of the rows that are there already."""

    def _check_log_dir_exists(self) -> None:  # called by `__init__`, where nothing else can stop it deleting the table
        rows = self._read()
        self.written = len(rows)
        self.metrics_keys = list(rows[0]) if rows else []

    def save(self) -> None:
        self.written += len(self.metrics)
        super().save()

    def cut(self, rows: int) -> None:
        if rows >= self.written:
            return
        kept = self._read()[:rows]
        with atomic(self.metrics_file_path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(kept)
        self.written = rows

    def _read(self) -> list[dict[str, Any]]:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
