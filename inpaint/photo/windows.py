"""Cuts holes of any shape into pieces, each of which is filled in a square window of its own.

As the paper removes objects (Yang et al. 2017, figure 9). What is as large as the picture is a numpy array of 8 or 16
bits; only windows become tensors, so a large picture is never held as floats.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from inpaint.content.networks import SIDE
from inpaint.imaging.box import Box
from inpaint.photo.photo import Marked
from inpaint.refinement.stages import scales_of

CELL = 16  # pixels: holes in the same or neighbouring cells of such a grid are one hole
EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)
SMALLEST_PIECE = 112  # pixels: thin holes are not cut shorter than this
THIN = 32  # pixels: a hole less thick than this (a speck, a scratch, writing) hides little structure,
LONG_AND_THIN = 96  # and so does a long one that is less thick than this (a cable, a post): both its sides are near
CONTEXT = 16 / 7  # a window's side in sides of its hole: at 128 pixels the hole is 56, as in the Context Encoder


class Piece(NamedTuple):
    """A hole, or a part of a long thin one."""

    box: Box  # where, in the picture
    own: Bool[np.ndarray, "rows columns"]  # which pixels of the box belong to it
    thin: bool = False  # whether it hides so little structure that it needs no gradient: see `pieces`


class Window(NamedTuple):
    """A square of the picture, mirrored where it reaches beyond the picture's border."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, box: Box) -> "Window":
        """The square with the box in its centre, within its middle half (with some of what surrounds it).

        Its side halves `scales_of(side) - 1` times to a multiple of 8, VGG's coarsest stride.
        """
        side = max(SIDE, round(CONTEXT * max(box.size)))
        while excess := side % (grain := 8 << (scales_of(side) - 1)):  # a larger side may have one scale more
            side += grain - excess
        return cls((box.left + box.right - side) // 2, (box.top + box.bottom - side) // 2, side)

    @property
    def box(self) -> Box:
        """Where in the picture; it may reach beyond it."""
        return Box(self.left, self.top, self.left + self.side, self.top + self.side)

    def cut(self, picture: Float[np.ndarray, "height width *channels"]) -> Float[np.ndarray, "side side *channels"]:
        """This square of a picture of any type, mirrored beyond its border (a copy)."""
        height, width = picture.shape[:2]
        rows = reflected(np.arange(self.box.top, self.box.bottom), height)
        columns = reflected(np.arange(self.box.left, self.box.right), width)
        return picture[rows[:, None], columns]

    def inside(self, size: tuple[int, int], least: int) -> Box:
        """The part of this square that lies in a picture of that size, in the square's own coordinates.

        The whole square, mirrored parts and all, if less than `least` rows or columns would be left.
        """
        height, width = size
        box = self.box.intersection(Box(0, 0, width, height)).within(self.box)
        return box if min(box.size) >= least else Box(0, 0, self.side, self.side)


def reflected(positions: np.ndarray, size: int) -> np.ndarray:
    """Positions on a line of `size` pixels that is mirrored at its first and at its last pixel, as often as needed."""
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    positions = positions % period
    return np.minimum(positions, period - positions)


def groups(hole: Marked) -> Iterator[Piece]:
    """The holes of a mask, near ones (`CELL`) as one. Together they are the mask, each pixel once."""
    height, width = hole.shape
    padded = np.pad(hole, ((0, -height % CELL), (0, -width % CELL)))
    cells = padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL).any(axis=(1, 3))
    labels, _ = ndimage.label(cells, EVERY_NEIGHBOUR)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        mine = (labels[rows, columns] == number).repeat(CELL, 0).repeat(CELL, 1)
        top, left = rows.start * CELL, columns.start * CELL
        part = hole[top : top + mine.shape[0], left : left + mine.shape[1]]
        yield tightened(top, left, part & mine[: part.shape[0], : part.shape[1]])


def tightened(top: int, left: int, own: Bool[np.ndarray, "rows columns"]) -> Piece:
    """The piece without the empty rows and columns around it; `own` is not empty, its corner is at (top, left)."""
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    inner = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Piece(inner.moved(left, top), own[inner.slices])


def pieces(hole: Marked) -> list[Piece]:
    """What to fill, one after the other: the holes, large ones first; long thin ones (scratches, writing) cut up.

    A scratch across the whole picture would have a window larger than the picture. Pieces are about four times as long
    as the hole is thick, so that a compact hole is never cut.
    """
    found = []
    for group in groups(hole):
        thick = thickness(group.own)
        longest = max(SMALLEST_PIECE, 4 * thick)
        rows, columns = (np.array_split(np.arange(n), -(-n // longest)) for n in group.box.size)
        if len(rows) == len(columns) == 1:
            found.append(group._replace(thin=thick < THIN))
            continue
        limit = LONG_AND_THIN if thick < LONG_AND_THIN else THIN  # a corner of a thick hole is not thin
        for y in rows:
            for x in columns:
                part = group.own[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
                if part.any():
                    piece = tightened(group.box.top + int(y[0]), group.box.left + int(x[0]), part)
                    found.append(piece._replace(thin=thickness(piece.own) < limit))
    return sorted(found, key=lambda piece: -max(piece.box.size))


def thickness(own: Bool[np.ndarray, "rows columns"]) -> int:
    """The diameter, in pixels, of about the largest disc that fits into the hole; 0 if there is none."""
    step = -(-max(own.shape) // 512)  # a rough answer will do, and is quick
    inside = ndimage.distance_transform_edt(np.pad(own[::step, ::step], 1))
    return int(2 * step * inside.max())


def soften(marked: Marked, dilate: int, feather: int) -> UInt8[np.ndarray, "height width"]:
    """How much of the fill each pixel takes, from 0 (none: it is not part of the hole) to 255 (all).

    Everything within `dilate` pixels of what is marked is 255; over the next `feather` pixels it falls to 0.
    """
    weights: np.ndarray = np.zeros(marked.shape, dtype=np.uint8)
    for group in groups(marked):
        reach = group.box.grown(dilate + feather, marked.shape)
        at = group.box.within(reach)
        nothing = np.ones(reach.size, dtype=bool)
        nothing[at.slices] = ~group.own
        distance = ndimage.distance_transform_edt(nothing)
        weight = (1 - (distance - dilate) / max(feather, 1e-6)).clip(0, 1)
        region = weights[reach.slices]
        np.maximum(region, np.ceil(255 * weight).astype(np.uint8), out=region)
    return weights
