"""The table of measures, a row for each picture: its means with intervals, and how they are printed."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.table import Table

from inpaint.evaluation.statistics import CONFIDENCE, bootstrap

Row = dict[str, Any]
"""What was measured on one picture: `{"id", "content": {"hole": {"l1", "l2", "psnr", "ssim"}, "whole": {same},
"perceptual", "sharpness", "seam"}, "refined": {same}, "seconds"}`. A stage that did not run is absent."""
STAGES = {"content": "content", "refined": "refinement"}
"""The name of each stage in the results, and in the loggers."""
HEADINGS = {"input": "input", "content": "content network", "refined": "refined", "truth": "truth"}
"""The kinds of pictures in the results, in their order, and the heading of each."""
MEASURES = {
    "hole_l1": "L1 in the hole, %",
    "hole_l2": "L2 in the hole, %",
    "hole_psnr": "PSNR in the hole, dB",
    "hole_ssim": "SSIM in the hole",
    "whole_l1": "L1 of the whole, %",
    "whole_l2": "L2 of the whole, %",
    "whole_psnr": "PSNR of the whole, dB",
    "whole_ssim": "SSIM of the whole",
    "whole_lpips": "LPIPS of the whole",
    "perceptual": "perceptual distance",
    "sharpness": "sharpness, hole / around it",
    "seam": "steps, border / surroundings",
    "fid": "FID",
}
"""The measures of a stage, as `flatten_keys` names them, and the heading of each."""


def stages_of(row: Mapping[str, Any]) -> list[str]:
    """The stages that ran."""
    return [stage for stage in STAGES if stage in row]


def kinds_of(row: Mapping[str, Any]) -> list[str]:
    """The kinds of pictures that there are: all but those of a stage that did not run."""
    return [kind for kind in HEADINGS if kind not in STAGES or kind in row]


def unique_rows(rows: Iterable[Row]) -> list[Row]:
    """Sorts rows by id, and keeps the first of each id: several processes may measure one picture twice."""
    first = {row["id"]: row for row in reversed([*rows])}
    return [first[picture_id] for picture_id in sorted(first)]


def flatten_keys(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Makes `{"hole_l1": 1}` of `{"hole": {"l1": 1}}`."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            result |= {f"{key}_{inner}": leaf for inner, leaf in flatten_keys(value).items()}
        else:
            result[key] = value
    return result


def map_leaves(function: Callable[..., Any], *trees: Any) -> Any:
    """Applies a function to the values at each place of equally nested dicts; the result is nested as they are."""
    if isinstance(trees[0], Mapping):
        return {key: map_leaves(function, *(tree[key] for tree in trees)) for key in trees[0]}
    return function(*trees)


def mean_measures(name: str, rows: list[Row]) -> dict[str, Any]:
    """Computes what `Results` writes into metrics.json, with NaN and infinity where that has null."""
    values = map_leaves(lambda *column: column, *({key: row[key] for key in row if key != "id"} for row in rows))
    values["seconds_per_picture"] = values.pop("seconds")
    intervals = map_leaves(bootstrap, values)
    means = map_leaves(lambda interval: interval.mean, intervals)
    defined = map_leaves(lambda column: sum(not math.isnan(value) for value in column), values)
    bounds = map_leaves(lambda i, count: {"low": i.low, "high": i.high, "pictures": count}, intervals, defined)
    return {"name": name, "pictures": len(rows), **means, "confidence": CONFIDENCE, "intervals": bounds}


def for_json(value: Any) -> Any:
    """Puts None in the place of every number that JSON cannot hold: NaN and the infinities."""
    return map_leaves(lambda leaf: None if isinstance(leaf, float) and not math.isfinite(leaf) else leaf, value)


def printed_table(means: Mapping[str, Any], headings: Mapping[str, str]) -> Table:
    """Lays out `mean_measures` for the terminal: a line a measure, a column a stage."""
    stages = {stage: flatten_keys(means[stage]) for stage in stages_of(means)}
    bounds = {stage: flatten_keys(means["intervals"][stage]) for stage in stages}
    seconds = means["seconds_per_picture"]
    table = Table(title=f"{means['name']}: {means['pictures']} pictures, {seconds:.1f} s each")
    table.add_column(f"mean [{CONFIDENCE:.0%} interval]")
    for stage in stages:
        table.add_column(headings[stage], justify="right")
    for key, label in MEASURES.items():
        if any(key in measures for measures in stages.values()):
            table.add_row(label, *(_cell(key, stages[stage], bounds[stage], means["pictures"]) for stage in stages))
    return table


def _cell(key: str, measures: Mapping[str, float], bounds: Mapping[str, float], pictures: int) -> str:
    """Writes a mean with its interval, if it has one, and how many pictures it is of, if not of all."""
    cell = f"{measures[key]:.3f}"
    if f"{key}_low" in bounds:
        cell += f" [{bounds[f'{key}_low']:#.3g}, {bounds[f'{key}_high']:#.3g}]"
        if (defined := bounds[f"{key}_pictures"]) < pictures:
            cell += f" of {defined}"
    return cell
