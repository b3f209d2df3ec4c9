"""Strokes, as a person paints them over a photo, and the mask that they make, exact to the pixel."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer
from pydantic import BaseModel, Field

from inpaint.imaging.marked import Marked

MOST_STROKES, MOST_POINTS = 2000, 100_000

Coordinate = Annotated[float, Field(ge=-100_000, le=200_000, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]  # x and y in pixels: pixel (i, j) reaches from (i, j) to (i + 1, j + 1)

Points = Float[np.ndarray, "points 2"]  # the same in an array
Numbers = Float[np.ndarray, " segments"]
Rows = Int[np.ndarray, " segments"]
Changes = Integer[np.ndarray, "height width+1"]  # of a number, from one pixel of a row to the next one

AT_A_TIME = 2**15  # rows of segments: as many as processors' caches hold
MOST_WORK = 5.0  # seconds that a list of strokes may take, about, on a slow core:
A_STROKE, A_ROW = 4e-4, 1e-6  # for a stroke, and each row of its box
A_PART = 2e-7  # for each row that a segment of its line reaches
A_PIXEL = {"brush": 2e-9, "lasso": 5e-9}  # for each pixel of its box
A_PIXEL_OF_ALL = 2e-10  # for each pixel of the photo, for strokes that are simply that


class Brush(BaseModel):
    """A round brush along a line."""

    tool: Literal["brush"]
    size: float = Field(ge=1, le=4000, description="The brush's diameter in pixels.")
    points: list[Point] = Field(min_length=1, max_length=MOST_POINTS)
    erase: bool = False


class Lasso(BaseModel):
    """What a closed line encloses."""

    tool: Literal["lasso"]
    points: list[Point] = Field(min_length=3, max_length=MOST_POINTS)
    erase: bool = False


class Rectangle(BaseModel):
    """What lies between two corners."""

    tool: Literal["box"]
    points: tuple[Point, Point]
    erase: bool = False


class File(BaseModel):
    """What a mask file marks."""

    tool: Literal["file"]
    file: str = Field(description="What the server called it when it was uploaded.")


class Whole(BaseModel):
    """Takes everything away, or swaps what is marked and what is not."""

    tool: Literal["clear", "invert"]


Stroke = Annotated[Brush | Lasso | Rectangle | File | Whole, Field(discriminator="tool")]


def paint(marked: Marked, strokes: list[Stroke], uploaded: Callable[[str], Marked]) -> None:
    """Changes what is marked on a photo as strokes do, one after the other.

    A pixel belongs to a stroke if its centre does. What lies outside the photo is cut off.

    Args:
        uploaded: gives what a mask file marks, by the name that the server gave it.
    """
    for stroke in strokes:
        match stroke:
            case Brush():
                brush(marked, np.array(stroke.points), stroke.size / 2, not stroke.erase)
            case Lasso():
                lasso(marked, np.array(stroke.points), not stroke.erase)
            case Rectangle():
                rectangle(marked, np.array(stroke.points), not stroke.erase)
            case File():
                marked |= uploaded(stroke.file)
            case Whole(tool="clear"):
                marked[:] = False
            case Whole():
                np.logical_not(marked, out=marked)


def work(stroke: Stroke, size: tuple[int, int]) -> float:
    """About the seconds that a stroke takes on a photo of that height and width."""
    if not isinstance(stroke, Brush | Lasso):
        return A_STROKE + A_PIXEL_OF_ALL * size[0] * size[1]
    points, radius = np.array(stroke.points), stroke.size / 2 if isinstance(stroke, Brush) else 0.0
    left, top, right, bottom = bounds(points, radius, size)
    first, last = rows_reached(Segments.along(points, closed=stroke.tool == "lasso"), radius, top, bottom)
    height, width = max(0, bottom - top), max(0, right - left)
    parts = float((last - first).sum())
    return A_STROKE + A_ROW * height + A_PART * parts + A_PIXEL[stroke.tool] * height * width


class Segments(NamedTuple):
    """Parts of a line, each from a point a to a point b."""

    ax: Numbers
    ay: Numbers
    bx: Numbers
    by: Numbers

    @classmethod
    def along(cls, points: Points, closed: bool = False) -> "Segments":
        """Those between points: from the last one to the first, if the line is closed, else the first one by itself."""
        before = np.roll(points, 1, axis=0) if closed else np.concatenate([points[:1], points[:-1]])
        return cls(*before.T, *points.T)


def bounds(points: Points, radius: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels that may lie within a radius of points, and in the photo."""
    left, top = np.floor(points.min(0) - radius).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(points.max(0) + radius).astype(int), size[::-1])
    return int(left), int(top), int(right), int(bottom)


def rows_reached(segments: Segments, radius: float, top: int, bottom: int) -> tuple[Rows, Rows]:
    """The first of the rows that each segment may reach, and the one behind the last; from the top to the bottom."""
    first = np.floor(np.minimum(segments.ay, segments.by) - radius).astype(int).clip(top, bottom)
    last = np.ceil(np.maximum(segments.ay, segments.by) + radius).astype(int).clip(top, bottom)
    return first, last


def row_by_row(segments: Segments, radius: float, top: int, bottom: int) -> Iterator[tuple[Segments, Rows]]:
    """Each segment once for each row that it may reach, and that row; so many at a time as processors' caches hold."""
    first, last = rows_reached(segments, radius, top, bottom)
    ends = np.cumsum(last - first)
    for start in range(0, int(ends[-1]), AT_A_TIME):
        pairs = np.arange(start, min(start + AT_A_TIME, int(ends[-1])))
        which = np.searchsorted(ends, pairs, side="right")
        yield Segments(*(values[which] for values in segments)), last[which] - (ends[which] - pairs)


def brush(marked: Marked, points: Points, radius: float, value: bool) -> None:
    """Sets the pixels whose centres lie within a radius of a line through points, and those that the points lie in."""
    height, width = marked.shape
    left, top, right, bottom = bounds(points, radius, marked.shape)
    if left >= right or top >= bottom:
        return
    columns = right - left
    begins = np.zeros((bottom - top, columns + 1), dtype=np.int32)  # how many parts of the line begin there, less ends
    for segments, rows in row_by_row(Segments.along(points), radius, top, bottom):
        low, high = capsules(segments, radius, rows + 0.5)
        low = (np.floor(low - 0.5) + 1 - left).clip(0, columns)  # the first and the last centre strictly in between
        high = (np.ceil(high - 0.5) - left).clip(0, columns)
        met = low < high
        add_at(begins, rows[met] - top, low[met], 1)
        add_at(begins, rows[met] - top, high[met], -1)
    put(marked[top:bottom, left:right], begins, lambda counts: counts > 0, value)
    x, y = np.floor(points).astype(int).T
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    marked[y[within], x[within]] = value


def add_at(changes: Changes, rows: Rows, columns: Numbers, number: int) -> None:
    """Adds a number at each of these places, which may be the same."""
    # of another type, it would take ten times as long
    np.add.at(changes.reshape(-1), rows * changes.shape[1] + columns.astype(int), changes.dtype.type(number))


def put(marked: Marked, changes: Changes, holds: Callable[[Changes], Marked], value: bool) -> None:
    """Sets the pixels for which something holds of the sum of the changes up to there in their row."""
    for band in (slice(start, start + 16) for start in range(0, len(marked), 16)):  # as processors' caches hold
        there = holds(np.cumsum(changes[band, :-1], axis=1, dtype=changes.dtype))
        if value:
            marked[band] |= there
        else:
            marked[band] &= ~there


def capsules(segments: Segments, radius: float, y: Numbers) -> tuple[Numbers, Numbers]:
    """From where to where, at its own y, each segment's points within a radius lie; if there are none, +inf to -inf.

    A capsule is convex, so that all between the ends of its parts, two discs and a band, belongs to it.
    """
    ax, ay, bx, by = segments
    low, high = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for x_end, y_end in ((ax, ay), (bx, by)):
        half = np.sqrt((radius**2 - (y - y_end) ** 2).clip(0))
        met = np.abs(y - y_end) < radius
        low[met], high[met] = np.minimum(low, x_end - half)[met], np.maximum(high, x_end + half)[met]
    length = np.hypot(bx - ax, by - ay)
    with np.errstate(divide="ignore", invalid="ignore"):  # where a segment is a point, or lies along an axis
        ux, uy = (bx - ax) / length, (by - ay) / length
        down = y - ay
        band_low, band_high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
        # from end to end along the line, and a radius to both sides across it
        for slope, rest, least, most in ((ux, uy * down, 0, length), (-uy, ux * down, -radius, radius)):
            flat, inside = slope == 0, (least <= rest) & (rest <= most)
            ends = (least - rest) / slope, (most - rest) / slope
            least_x = np.where(flat, np.where(inside, -np.inf, np.inf), np.minimum(*ends))
            most_x = np.where(flat, -least_x, np.maximum(*ends))
            band_low, band_high = np.maximum(band_low, least_x), np.minimum(band_high, most_x)
    met = (length > 0) & (band_low <= band_high)
    low[met] = np.minimum(low, ax + band_low)[met]
    high[met] = np.maximum(high, ax + band_high)[met]
    return low, high


def lasso(marked: Marked, points: Points, value: bool) -> None:
    """Sets the pixels whose centres a closed line encloses; by the even-odd rule, where it crosses itself."""
    left, top, right, bottom = bounds(points, 0, marked.shape)
    if left >= right or top >= bottom:
        return
    points, marked = points - (left, top), marked[top:bottom, left:right]
    height, width = marked.shape
    crossed = np.zeros(
        (height, width + 1), dtype=np.uint8
    )  # how often the line passes left of a pixel's centre, mod 256
    for (ax, ay, bx, by), rows in row_by_row(Segments.along(points, closed=True), 0, 0, height):
        y = rows + 0.5
        met = (ay <= y) != (by <= y)
        down = ay < by
        (x0, y0), (x1, y1) = (np.where(down, (ax, ay), (bx, by))), (np.where(down, (bx, by), (ax, ay)))
        with np.errstate(divide="ignore", invalid="ignore"):  # where a segment is level, which none crosses
            x = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
        add_at(crossed, rows[met], np.ceil(x[met] - 0.5).clip(0, width), 1)
    put(marked, crossed, lambda counts: counts % 2 == 1, value)


def rectangle(marked: Marked, corners: Points, value: bool) -> None:
    """Sets the pixels between two corners, at least one in each direction."""
    low, high = np.round(corners.min(0)), np.round(corners.max(0))
    low = np.where(low < high, low, np.floor(corners.min(0)))
    (left, top), (right, bottom) = low.clip(0).astype(int), np.maximum(high, low + 1).clip(0).astype(int)
    marked[top:bottom, left:right] = value
