"""Cuts holes of any shape into pieces, each of which is filled in a square window of its own.

As the paper removes objects (Yang et al. 2017, figure 9). What is as large as the picture is a numpy array of 8 or 16
bits; only windows become tensors, so a large picture is never held as floats.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from inpaint.content.networks import SIDE
from inpaint.imaging.box import Box
from inpaint.imaging.marked import Marked
from inpaint.refinement.stages import scales_of

CELL = 16  # pixels: holes in the same or neighbouring cells of such a grid are one hole
EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)
SMALLEST_PIECE = 112  # pixels: thin holes are not cut shorter than this
THIN = 32  # pixels: a hole less thick than this (a speck, a scratch, writing) hides little structure,
LONG_AND_THIN = 96  # and so does a long one that is less thick than this (a cable, a post): both its sides are near
FINE = 16  # pixels: holes no thicker than this (dust, scratches, writing) are known close by on every side
TOGETHER = 192  # pixels: what is fine in such a square is filled together,
BESIDE = 32  # with so many pixels around it
STRIP = 512  # pixels: a canvas is cut into such squares, if it has to be
SPECK = 48  # pixels: what is fine and no longer than this is not cut where two squares meet
CONTEXT = 16 / 7  # a window's side in sides of its hole: at 128 pixels the hole is 56, as in the Context Encoder


class Piece(NamedTuple):
    """A hole, or a part of a long thin one; what is fine in a square; more canvas, or a strip of it."""

    box: Box  # where, in the picture
    own: Bool[np.ndarray, "rows columns"]  # which pixels of the box belong to it
    thin: bool = False  # whether it hides so little structure that it needs no gradient: see `pieces`
    kind: Literal["hole", "fine", "canvas", "strip"] = "hole"


class Window(NamedTuple):
    """A square of the picture, mirrored where it reaches beyond the picture's border."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, piece: Piece) -> "Window":
        """The square with the piece in its centre: a hole within the middle half, with some of what surrounds it.

        What is fine has `BESIDE` pixels around it, a canvas has none: what they are filled from lies in between. The
        side halves `scales_of(side) - 1` times to a multiple of 8, VGG's coarsest stride.
        """
        box, longest = piece.box, max(piece.box.size)
        sides = {"fine": longest + 2 * BESIDE, "canvas": longest}
        side = max(SIDE, sides.get(piece.kind, round(CONTEXT * longest)))
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


def label_cells(hole: Marked) -> Int[np.ndarray, "rows columns"]:
    """For each cell (`CELL`) the number, from 1 on, of the hole that it has a part of; 0 for none."""
    height, width = hole.shape
    padded = np.pad(hole, ((0, -height % CELL), (0, -width % CELL)))
    cells = padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL).any(axis=(1, 3))
    labels, _ = ndimage.label(cells, EVERY_NEIGHBOUR)
    return labels


def groups(hole: Marked) -> Iterator[Piece]:
    """The holes of a mask, near ones (`CELL`) as one. Together they are the mask, each pixel once."""
    labels = label_cells(hole)
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
    as the hole is thick, so that a compact hole is never cut; fine ones lie in squares, see `together`.
    """
    found = []
    for group in groups(hole):
        thick = thickness(group.own)
        if thick <= FINE:
            own = [group] if max(group.box.size) <= SPECK else tiles(group, TOGETHER)
            found += [part._replace(thin=True, kind="fine") for part in own]
            continue
        longest = max(SMALLEST_PIECE, 4 * thick)
        rows, columns = (np.array_split(np.arange(n), -(-n // longest)) for n in group.box.size)
        if len(rows) == len(columns) == 1:
            found.append(group._replace(thin=thick < THIN))
            continue
        limit = LONG_AND_THIN if thick < LONG_AND_THIN else THIN  # a corner of a thick hole is not thin
        cuts = [Box(int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1) for y in rows for x in columns]
        found += [part._replace(thin=thickness(part.own) < limit) for part in parts(group, cuts)]
    return sorted(found, key=lambda piece: -max(piece.box.size))


def tiles(piece: Piece, side: int) -> list[Piece]:
    """The parts of a piece in the picture's squares of so many pixels."""
    left, top, right, bottom = piece.box
    cuts = [
        Box(x, y, x + side, y + side).intersection(piece.box).within(piece.box)
        for y in range(top - top % side, bottom, side)
        for x in range(left - left % side, right, side)
    ]
    return parts(piece, cuts)


def strips(canvas: Piece) -> list[Piece]:
    """The parts of a canvas that are worked on at full size, where the whole is too large for that."""
    return [part._replace(thin=True, kind="strip") for part in tiles(canvas, STRIP)]


def parts(piece: Piece, cuts: Iterable[Box]) -> list[Piece]:
    """What a piece has in each of some boxes, which are counted from its corner; nothing for those that hold none."""
    found = ((cut, piece.own[cut.slices]) for cut in cuts)
    return [tightened(piece.box.top + cut.top, piece.box.left + cut.left, own) for cut, own in found if own.any()]


def together(found: Iterable[Piece]) -> list[Piece]:
    """The pieces, and behind them all that is fine in a square of `TOGETHER` pixels as one."""
    rest: list[Piece] = []
    fine: dict[tuple[int, int], list[Piece]] = defaultdict(list)
    for piece in found:
        square = (piece.box.top // TOGETHER, piece.box.left // TOGETHER)
        (fine[square] if piece.kind == "fine" else rest).append(piece)
    for near in fine.values():
        box = reduce(Box.union, (piece.box for piece in near))
        own = np.zeros(box.size, dtype=bool)
        for piece in near:
            own[piece.box.within(box).slices] |= piece.own
        rest.append(near[0]._replace(box=box, own=own))
    return rest


def thickness(own: Bool[np.ndarray, "rows columns"]) -> int:
    """The diameter, in pixels, of about the largest disc that fits into the hole; 0 if there is none."""
    step = min(4, -(-max(own.shape) // 512))  # a rough answer will do, and is quick; by more, nothing would be `FINE`
    inside = ndimage.distance_transform_edt(np.pad(own[::step, ::step], 1))
    return int(2 * step * inside.max())
