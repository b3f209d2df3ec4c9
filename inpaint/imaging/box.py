"""A rectangle in a picture or in a feature map; the order of its sides stands here alone."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError


class Box(NamedTuple):
    """Columns from left to right and rows from top to bottom, the last ones exclusive; in Pillow's order."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and the columns, as an index of an array [height, width, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def of(self, x: Tensor) -> Tensor:
        """This box of a map [..., height, width]: a view."""
        return x[(..., *self.slices)]

    def grown(self, by: int, size: Sequence[int]) -> "Box":
        """`by` cells more on each side, as far as a map of that height and width goes."""
        height, width = size
        grown = Box(self.left - by, self.top - by, self.right + by, self.bottom + by)
        return grown.intersection(Box(0, 0, width, height))

    def pooled(self, size: Sequence[int], by: int = 2) -> "Box":
        """The cells that see this box in a map of that height and width, pooled by `by`; no cell sticks out."""
        return Box(self.left // by, self.top // by, -(-self.right // by), -(-self.bottom // by)).grown(0, size)

    def unpooled(self) -> "Box":
        """The cells that these see in the map before it was pooled by 2."""
        return Box(*(2 * side for side in self))

    def moved(self, right: int, down: int) -> "Box":
        """The same box that many cells further right and down."""
        return Box(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def scaled(self, ratio: float) -> "Box":
        """The same part of a picture of `ratio` times the size, rounded to pixels."""
        return Box(*(round(side * ratio) for side in self))

    def union(self, other: "Box | None") -> "Box":
        """The smallest box that holds both."""
        if other is None:
            return self
        return Box(*map(min, self[:2], other[:2]), *map(max, self[2:], other[2:]))

    def intersection(self, other: "Box") -> "Box":
        """What both have in common; of no height or width if that is nothing."""
        left, top = map(max, self[:2], other[:2])
        right, bottom = map(min, self[2:], other[2:])
        return Box(left, top, max(right, left), max(bottom, top))

    def within(self, outer: "Box") -> "Box":
        """The same cells, counted from the upper left corner of `outer`."""
        return self.moved(-outer.left, -outer.top)

    @classmethod
    def around(cls, mask: Float[Tensor, "*any height width"]) -> "Box":
        """The bounding box of what is not zero.

        Raises:
            UserError: nothing is marked.
        """
        marked = mask.reshape(-1, *mask.shape[-2:]).amax(0) > 0
        if not marked.any():
            raise UserError("The mask is empty: mark what is to be filled (1, or white, is the hole).")
        rows, columns = marked.any(1).nonzero(), marked.any(0).nonzero()
        return cls(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
