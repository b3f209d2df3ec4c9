"""The table of measures, a row for each picture: its means with intervals, and how they are printed."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from inpaint.evaluation.statistics import CONFIDENCE, mean_interval

Row = dict[str, Any]
"""What was measured on one picture: `{"id", "area", "content": {"hole": {"l1", "l2", "psnr", "ssim"}, "whole": {same},
"perceptual", "sharpness", "seam"}, "refined": {same}, "seconds"}`. A stage that did not run is absent."""
STAGES = ("content", "refined")
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
    "whole_lpips_vgg": "LPIPS of the whole, by VGG",
    "perceptual": "perceptual distance",
    "sharpness": "sharpness, hole / around it",
    "seam": "steps, border / surroundings",
    "fid": "FID",
    "p_ids": "P-IDS, %",
    "u_ids": "U-IDS, %",
}
"""The measures of a stage, as `flatten_keys` names them, and the heading of each. One's own have their names."""
SET_MEASURES = ("fid", "p_ids", "u_ids")
"""Those of a set of pictures, which no picture has by itself."""
AREA_STEP = 10  # percent of the picture, between the classes of holes by their area


def stages_of(row: Mapping[str, Any]) -> list[str]:
    """The stages that ran."""
    return [stage for stage in STAGES if stage in row]


def kinds_of(row: Mapping[str, Any]) -> list[str]:
    """The kinds of pictures that there are: all but those of a stage that did not run."""
    return [kind for kind in HEADINGS if kind not in STAGES or kind in row]


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts names of measures, each once: first those of MEASURES in their order, then one's own as they come."""
    found = dict.fromkeys(names)
    return [*(name for name in MEASURES if name in found), *(name for name in found if name not in MEASURES)]


def unique_rows(rows: Iterable[Row]) -> list[Row]:
    """Sorts rows by id, and keeps the first of each id: several processes may measure one picture twice."""
    first = {row["id"]: row for row in reversed([*rows])}
    return [first[picture_id] for picture_id in sorted(first)]


def by_area(areas: Mapping[str, float]) -> dict[str, list[str]]:
    """Sorts pictures into classes by the area of their hole in percent: `{"0 to 10 %": [id], "10 to 20 %": ...}`.

    A class holds its upper bound. None is empty, and the classes come in their order.
    """
    classes: dict[int, list[str]] = {}
    for picture_id, area in areas.items():
        classes.setdefault(max(math.ceil(area / AREA_STEP), 1) * AREA_STEP, []).append(picture_id)
    return {f"{bound - AREA_STEP} to {bound} %": classes[bound] for bound in sorted(classes)}


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


def mean_measures(rows: Sequence[Row]) -> dict[str, Any]:
    """Computes means with intervals as `Results` writes them, with NaN and infinity where metrics.json has null."""
    values = map_leaves(lambda *column: column, *({key: row[key] for key in row if key != "id"} for row in rows))
    values["seconds_per_picture"] = values.pop("seconds")
    intervals = map_leaves(mean_interval, values)
    means = map_leaves(lambda interval: interval.mean, intervals)
    defined = map_leaves(lambda column: sum(not math.isnan(value) for value in column), values)
    bounds = map_leaves(lambda i, count: {"low": i.low, "high": i.high, "pictures": count}, intervals, defined)
    del bounds["area"]  # it is no measure of a method
    return {"pictures": len(rows), **means, "confidence": CONFIDENCE, "intervals": bounds}


def for_json(value: Any) -> Any:
    """Puts None in the place of every number that JSON cannot hold: NaN and the infinities."""
    return map_leaves(lambda leaf: None if isinstance(leaf, float) and not math.isfinite(leaf) else leaf, value)


def printed_tables(means: Mapping[str, Any], headings: Mapping[str, str]) -> list[Table]:
    """Lays out what metrics.json holds for the terminal: a line a measure, a column a stage.

    Where holes fall into several classes by their area, a table for each stage follows: a column a class.
    """
    stages = {stage: flatten_keys(means[stage]) for stage in stages_of(means)}
    bounds = {stage: flatten_keys(means["intervals"][stage]) for stage in stages}
    seconds, names = means["seconds_per_picture"], in_order(name for stage in stages.values() for name in stage)
    each = "" if math.isnan(seconds) else f", {seconds:.1f} s each"
    table = Table(title=f"{means['name']}: {means['pictures']} pictures{each}")
    table.add_column(f"mean [{CONFIDENCE:.0%} interval]")
    for stage in stages:
        table.add_column(headings[stage], justify="right")
    for name in names:
        cells = (_cell(name, stages[stage], bounds[stage], means["pictures"]) for stage in stages)
        table.add_row(MEASURES.get(name, name), *cells)
    return [
        table,
        *(_by_area(means["by_area"], stage, names, headings[stage]) for stage in stages if "by_area" in means),
    ]


def _by_area(classes: Mapping[str, Any], stage: str, names: Sequence[str], heading: str) -> Table:
    """Lays out the means of one stage by the area of the hole."""
    table = Table(title=f"{heading}, by the hole's share of the picture")
    table.add_column("mean (pictures)")
    for name, part in classes.items():
        table.add_column(f"{name} ({part['pictures']})", justify="right")
    measured = [flatten_keys(part[stage]) for part in classes.values()]
    for name in names:
        if name not in SET_MEASURES:
            table.add_row(MEASURES.get(name, name), *(_number(part[name]) for part in measured))
    return table


def _number(value: float) -> str:
    """Nothing where it is undefined."""
    return "" if math.isnan(value) else f"{value:.3f}"


def _cell(name: str, measures: Mapping[str, float], bounds: Mapping[str, float], pictures: int) -> str:
    """Writes a mean with its interval, if it has one, and how many pictures it is of, if not of all or of none."""
    cell = _number(measures[name])
    if not math.isnan(bounds.get(f"{name}_low", math.nan)):
        cell += f" [{bounds[f'{name}_low']:#.3g}, {bounds[f'{name}_high']:#.3g}]"
    if 0 < (defined := bounds.get(f"{name}_pictures", pictures)) < pictures:
        cell += f" of {defined}"
    return cell
