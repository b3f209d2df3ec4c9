"""`Results` with what the configuration gives it, and a table to compare."""

import csv
from pathlib import Path
from typing import Any

from inpaint.evaluation.results import Results


def make_results(folder: Path, **options: Any) -> Results:
    """The callback as `conf/callbacks/default.yaml` builds it, but for these options."""
    weights = dict.fromkeys(("lpips_weights", "lpips_vgg_weights", "fid_weights"))
    fixed = {"name": "trial", "gallery_rows": 32, "settings": "", **weights, "measures": {}}
    return Results(folder, **fixed | options)


def table(folder: Path) -> list[dict[str, str]]:
    """metrics.csv but for the seconds, which no two runs share."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
