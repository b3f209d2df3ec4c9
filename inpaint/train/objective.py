"""The one number that a sweeper makes smaller or larger: a mean of metrics.json, or what the training logged last."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inpaint.errors import UserError
from inpaint.train.types import like

BETTER_BY = {
    "minimize": {"l1", "l2", "perceptual", "lpips", "fid", "loss"},
    "maximize": {"psnr", "ssim"},
}
"""By the sweeper's direction, the words in the names of the measures that are better that way."""


def check_direction(name: str, direction: str) -> None:
    """Refuses a sweep that would look for the worst: `direction` is "minimize" or "maximize", any other passes."""
    words = set(re.split(r"[./_]", name))
    right = next((way for way, measures in BETTER_BY.items() if words & measures), direction)
    if direction in BETTER_BY and right != direction:
        better = "smaller" if right == "minimize" else "larger"
        raise UserError(
            f"The sweeper would {direction} {name}, which is better {better}: set hydra.sweeper.direction={right}."
        )


def read_objective(name: str | None, folder: Path, logged: Mapping[str, float]) -> float | None:
    """Reads the objective of a run that has ended.

    Args:
        name: a path into metrics.json, `refined.perceptual`; or a logged value, `content/val_l2`; None: there is none.
        folder: of the run's results.
        logged: what the run logged last, by name.

    Returns:
        The number; None, which a sweeper takes for a failure, where it is not finite; None without a name.

    Raises:
        UserError: there is no such number; the sentence lists those that are like it.
    """
    if name is None:
        return None
    path = folder / "metrics.json"
    means = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    numbers = dict(logged) | dict(_leaves(means))
    if name in numbers:
        return numbers[name] if math.isfinite(numbers[name]) else None
    same_end = [other for other in numbers if other.endswith((f".{name}", f"/{name}", f".{name.rpartition('.')[2]}"))]
    near = list(dict.fromkeys([*same_end, *like(name, numbers)]))[:4]
    there = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(numbers) or 'none'}."
    raise UserError(f"objective is {name}, and the run has no such result: {there}")


def _leaves(means: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The means by their dotted path, without their intervals; `null` is a NaN."""
    for key, value in means.items():
        if isinstance(value, Mapping):
            if key != "intervals":
                yield from _leaves(value, f"{before}{key}.")
        elif value is None:
            yield f"{before}{key}", math.nan
        elif isinstance(value, int | float):
            yield f"{before}{key}", float(value)
