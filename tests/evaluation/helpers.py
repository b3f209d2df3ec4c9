"""`Results` with what the configuration gives it, and a table to compare."""

import csv
from pathlib import Path
from typing import Any

from inpaint.evaluation.results import Results


def make_results(folder: Path, **options: Any) -> Results:
    """The callback as `conf/callbacks/default.yaml` builds it, but for these options."""
    fixed = {"name": "trial", "gallery_rows": 32, "settings": "", "lpips_weights": None, "fid_weights": None}
    return Results(folder, **fixed | options)


def table(folder: Path) -> list[dict[str, str]]:
    """metrics.csv but for the seconds, which no two runs share."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
