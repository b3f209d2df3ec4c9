"""The measures of a run as a table: rows of pictures, their means, and how sure those are."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from inpaint.evaluation.statistics import bootstrap

STAGES = {"content": "content", "refined": "refinement"}  # a stage's key in the results -> in the loggers
COLUMNS = {"input": "input", "content": "content network", "refined": "refined", "truth": "truth"}
MEASURES = {  # a measure's key -> how the printed table names it
    "hole_l1": "L1 in the hole, %",
    "hole_l2": "L2 in the hole, %",
    "hole_psnr": "PSNR in the hole, dB",
    "hole_ssim": "SSIM in the hole",
    "whole_l1": "L1 of the whole, %",
    "whole_l2": "L2 of the whole, %",
    "whole_psnr": "PSNR of the whole, dB",
    "whole_ssim": "SSIM of the whole",
    "whole_lpips": "LPIPS of the whole",
    "sharpness": "sharpness, hole / around it",
    "seam": "steps, border / surroundings",
    "fid": "FID",
}
CONFIDENCE = 0.95  # of the intervals beside the means


def merge(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows sorted by id, each id once: processes of an uneven split repeat pictures."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["id"], row)
    return [first[picture_id] for picture_id in sorted(first)]


def summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What metrics.json holds: the means of the rows, and how sure they are."""
    values = {stage: [row[stage] for row in rows] for stage in _stages(rows)}
    values["seconds_per_picture"] = [row["seconds"] for row in rows]
    means = {key: _leafwise(_mean, each) for key, each in values.items()}
    intervals = {key: _leafwise(_interval, each) for key, each in values.items()}
    return {"name": name, "pictures": len(rows), **means, "confidence": CONFIDENCE, "intervals": intervals}


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"hole": {"l1": 1}}` as `{"hole_l1": 1}`."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            result |= {f"{key}_{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            result[key] = value
    return result


def _shown(rows: list[dict[str, Any]]) -> list[str]:
    """The kinds of pictures that there are: all but the stages that did not run."""
    return [key for key in COLUMNS if key not in STAGES or key in rows[0]]


def _stages(rows: list[dict[str, Any]]) -> list[str]:
    return [stage for stage in STAGES if stage in rows[0]]


def _leafwise(function: Callable[[list[float]], Any], values: list[Any]) -> Any:
    """What the function makes of the values at each leaf, nested as they are."""
    if isinstance(values[0], Mapping):
        return {key: _leafwise(function, [value[key] for value in values]) for key in values[0]}
    return function(values)


def _mean(values: list[float]) -> float:
    """Of those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _interval(values: list[float]) -> dict[str, float]:
    _, low, high = bootstrap(values, CONFIDENCE)
    return {"low": low, "high": high, "pictures": sum(not math.isnan(value) for value in values)}


def _nulls(value: Any) -> Any:
    """The same with None for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _nulls(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(key: str, measures: Mapping[str, float], bounds: Mapping[str, float], pictures: int) -> str:
    """A mean with its interval, if it has one, and how many pictures it is of, if not of all."""
    cell = f"{measures[key]:.3f}"
    if f"{key}_low" in bounds:
        cell += f" [{bounds[f'{key}_low']:#.3g}, {bounds[f'{key}_high']:#.3g}]"
        if (defined := bounds[f"{key}_pictures"]) < pictures:
            cell += f" of {defined}"
    return cell
