"""Enlarges what a mask marks: objects have soft edges and shadows, scratches have not."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real, UInt8
from scipy import ndimage

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.marked import Marked
from inpaint.photo.windows import CELL, label_cells

DILATE = 8  # pixels, at most, unless a person says so
TILE = 16 * CELL  # pixels a side that are looked at together: as processors' caches hold
SHORT = 100  # pixels: up to such distances rows and columns are looked at one after the other
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
    steps = [Step.of(2**power, dilate, feather) for power in range(most.bit_length() if follows else 1)]
    far = 4 * steps[-1].size + steps[-1].reach  # what lies farther away does not matter
    labels = label_cells(marked)
    largest = np.zeros(labels.max() + 1, dtype=int)  # step of each hole, by its number
    side = max(TILE, 4 * far // CELL * CELL)
    for top, left in product(*(range(0, length, side) for length in marked.shape)):
        tile = Box(left, top, left + side, top + side).grown(0, marked.shape)
        near = tile.grown(far, marked.shape)
        own = marked[near.slices]
        if not own.any():
            continue
        if own.all() and near == Box(left - far, top - far, left + side + far, top + side + far):
            weights[tile.slices] = 255  # as thick is what lies beside it, in a tile that is not full
            continue
        own, inner = np.pad(own, 1), tile.within(near).moved(1, 1).slices  # outside of the photo nothing is marked
        depth = squared_distance_from(~own, 2 * steps[-1].size)
        region = weights[tile.slices]
        for number, step in enumerate(steps):
            thick = own
            if number:
                middle = depth >= (2 * step.size) ** 2
                if not middle.any():
                    break
                thick = squared_distance_from(middle, 2 * step.size) < (2 * step.size) ** 2  # discs that fit in
                rows, columns = middle[inner].nonzero()
                holes = np.unique(labels[(top + rows) // CELL, (left + columns) // CELL])
                largest[holes] = np.maximum(largest[holes], number)
            weight = (1 - (distance_from(thick, step.reach)[inner] - step.dilate) / max(step.feather, 1e-6)).clip(0, 1)
            np.maximum(region, np.ceil(255 * weight).astype(np.uint8), out=region)
    used = [steps[number] for number in largest[1:]]
    dilates, feathers = [step.dilate for step in used], [step.feather for step in used]
    return Enlarged(weights, float(marked.mean()), (min(dilates), max(dilates)), (min(feathers), max(feathers)))


class Step(NamedTuple):
    """By how much what is so thick is enlarged, all in pixels: `size` is a quarter of the thickness."""

    size: int
    dilate: int
    feather: int

    @classmethod
    def of(cls, size: int, dilate: int | None, feather: int | None) -> "Step":
        """The step of that size, but for what a person gave."""
        return cls(size, size if dilate is None else dilate, max(1, size // 2) if feather is None else feather)

    @property
    def reach(self) -> int:
        """Up to this distance something changes."""
        return self.dilate + self.feather


def distance_from(there: Bool[np.ndarray, "rows columns"], reach: int) -> Float[np.ndarray, "rows columns"]:
    """Each pixel's distance from the nearest one that is True; where that is more than `reach`, any greater number."""
    return np.sqrt(squared_distance_from(there, reach), dtype=np.float64)


def squared_distance_from(there: Bool[np.ndarray, "rows columns"], reach: int) -> Real[np.ndarray, "rows columns"]:
    """The square of `distance_from`."""
    if reach > SHORT:
        return np.square(ndimage.distance_transform_edt(~there))
    # first along its row, then across rows: a few times as quick as by scipy, which looks for any distance
    kind = np.int16 if there.shape[1] < 2**14 else np.int32
    place, far = np.arange(there.shape[1]).astype(kind), kind(reach + 1)
    before = np.maximum.accumulate(np.where(there, place, -far), axis=1)
    behind = np.minimum.accumulate(np.where(there, place, place[-1] + far)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(np.minimum(place - before, behind - place), far).astype(np.uint16) ** 2
    squares = along.copy()
    for step in range(1, min(reach, len(there) - 1) + 1):
        moved = along + np.uint16(step**2)
        np.minimum(squares[step:], moved[:-step], out=squares[step:])
        np.minimum(squares[:-step], moved[step:], out=squares[:-step])
    return squares
