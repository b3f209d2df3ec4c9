"""A rectangle of rows and columns in a map."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError


class Box(NamedTuple):
    """Rows top to bottom (exclusive) and columns left to right (exclusive) of a map."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def grown(self, by: int, size: Sequence[int]) -> "Box":
        """`by` cells more on each side, as far as a map of that size goes."""
        height, width = size
        return Box(
            max(self.top - by, 0),
            max(self.left - by, 0),
            min(self.bottom + by, height),
            min(self.right + by, width),
        )

    def pooled(self, size: Sequence[int], by: int = 2) -> "Box":
        """The cells of a map of that size, pooled by `by`, which see this box; cells cut off at the border are none."""
        height, width = size
        return Box(
            min(self.top // by, height),
            min(self.left // by, width),
            min(-(-self.bottom // by), height),
            min(-(-self.right // by), width),
        )

    def unpooled(self) -> "Box":
        return Box(*(2 * edge for edge in self))

    def union(self, other: "Box | None") -> "Box":
        if other is None:
            return self
        return Box(*map(min, self[:2], other[:2]), *map(max, self[2:], other[2:]))

    def intersection(self, other: "Box") -> "Box":
        top, left = map(max, self[:2], other[:2])
        bottom, right = map(min, self[2:], other[2:])
        return Box(top, left, max(bottom, top), max(right, left))

    def of(self, x: Tensor) -> Tensor:
        """This box of a map (a view)."""
        return x[..., self.top : self.bottom, self.left : self.right]

    def within(self, outer: "Box") -> "Box":
        """The same cells, counted from the corner of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

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
        return cls(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
