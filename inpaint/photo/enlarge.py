"""Enlarges what a mask marks: objects have soft edges and shadows, scratches have not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.photo.photo import Marked
from inpaint.photo.windows import groups

DILATE = 8  # pixels, at most, unless a person says so
MOST, MUCH = 0.6, 0.4  # of a photo: who marks more may have meant the rest; and so much is worth a word


class Enlarged(NamedTuple):
    """A mask enlarged, and by how much."""

    weights: UInt8[np.ndarray, "height width"]  # how much of the fill each pixel takes: 0 none, 255 all
    marked: float  # the share of the photo that was marked
    dilate: tuple[int, int]  # of the hole that was enlarged least, where it is thickest, and of the one that was most
    feather: tuple[int, int]  # the same of the pixels over which the fill then fades

    @property
    def share(self) -> float:
        """The part of the photo, in [0, 1], that the fill changes."""
        return np.count_nonzero(self.weights) / self.weights.size

    def check_leaves(self) -> None:
        """Raises a UserError if it leaves nothing of the photo."""
        if self.weights.all():
            raise UserError(
                f"Enlarged by {self.dilate[1]} pixels (--dilate) and faded over {self.feather[1]} (--feather) "
                "the mask covers the whole photo, which leaves nothing to fill from: mark less, or give "
                "--dilate 0 --feather 0."
            )

    def to_json(self) -> dict[str, Any]:
        """The same in plain values, without the weights themselves."""
        return {"dilate": self.dilate, "feather": self.feather, "marked": self.marked, "share": self.share}

    def remarks(self, swap: str = "use --invert") -> list[str]:
        """What a person should know before they wonder at the result; and how marked and unmarked are swapped."""
        if self.marked > MOST:
            return [f"the mask marks {self.marked:.0%} of the photo: if it was meant the other way round, {swap}"]
        if self.share > MUCH:
            return [f"the enlarged mask takes {self.share:.0%} of the photo, of which {self.marked:.0%} was marked"]
        return []


def enlarge(marked: Marked, dilate: int | None = None, feather: int | None = None) -> Enlarged:
    """Weights of the fill: 255 within `dilate` pixels of what is marked; over the next `feather` pixels they fall to 0.

    A number that is not given follows the local thickness of what is marked (the diameter of the largest disc in it
    that holds the place; Hildebrand and Rüegsegger 1997): an object loses its soft edge and its shadow, while a scratch
    2 pixels wide does not become one of 26. `dilate` is then a quarter of the thickness, rounded down to a power of
    two, from 1 to `DILATE`, but at most a 64th of the photo's shorter side; `feather` is half of that, at least 1.
    """
    weights: np.ndarray = np.zeros(marked.shape, dtype=np.uint8)
    if not marked.any():
        return Enlarged(weights, 0.0, (0, 0), (0, 0))
    most = max(1, min(DILATE, min(marked.shape) // 64))
    follows = dilate is None or feather is None
    steps = [2**power for power in reversed(range(most.bit_length() if follows else 1))]
    used = {lay(weights, group.own, group.box, steps, dilate, feather) for group in groups(marked)}
    dilates, feathers = zip(*used, strict=True)
    return Enlarged(weights, float(marked.mean()), (min(dilates), max(dilates)), (min(feathers), max(feathers)))


def lay(
    weights: UInt8[np.ndarray, "height width"],
    own: Bool[np.ndarray, "rows columns"],
    box: Box,
    steps: Sequence[int],
    dilate: int | None,
    feather: int | None,
) -> tuple[int, int]:
    """Raises weights by those of one hole, `own` in its box; returns dilate and feather where it is thickest.

    Args:
        steps: what `dilate` may be, in falling order, down to 1.
    """
    depth = distance_from(~np.pad(own, 1))[1:-1, 1:-1] if len(steps) > 1 else None
    for number, step in enumerate(steps):
        thick = own
        if step > 1 and depth is not None:
            middle = depth >= 2 * step
            if not middle.any():
                continue
            thick = distance_from(middle) < 2 * step  # discs that fit in
        own_dilate = step if dilate is None else dilate
        own_feather = max(1, step // 2) if feather is None else feather
        reach = box.grown(own_dilate + own_feather, weights.shape)
        inside = np.zeros(reach.size, dtype=bool)
        inside[box.within(reach).slices] = thick
        weight = (1 - (distance_from(inside) - own_dilate) / max(own_feather, 1e-6)).clip(0, 1)
        region = weights[reach.slices]
        np.maximum(region, np.ceil(255 * weight).astype(np.uint8), out=region)
        # what is thinner takes smaller steps: corners, say, of which each is looked at alone, with all that can matter
        for rest in groups(own & ~thick):
            near = rest.box.grown(6 * step, own.shape)
            lay(weights, own[near.slices], near.moved(box.left, box.top), steps[number + 1 :], dilate, feather)
        return own_dilate, own_feather
    raise AssertionError("the last step is 1, which everything is as thick as")


def distance_from(there: Bool[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """Each pixel's distance from the nearest one that is True."""
    return ndimage.distance_transform_edt(~there)
