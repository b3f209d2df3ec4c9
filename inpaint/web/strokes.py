"""Strokes, as a person paints them over a photo, and the mask that they make, exact to the pixel."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field

from inpaint.photo.photo import Marked

MOST_STROKES, MOST_POINTS = 2000, 100_000

Coordinate = Annotated[float, Field(ge=-100_000, le=200_000, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]  # x and y in pixels: pixel (i, j) reaches from (i, j) to (i + 1, j + 1)

Points = Float[np.ndarray, "points 2"]  # the same in an array


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


def painted(strokes: list[Stroke], size: tuple[int, int], files: Mapping[str, Marked]) -> Marked:
    """What strokes mark, one after the other, on a photo of that height and width.

    A pixel belongs to a stroke if its centre does. What lies outside the photo is cut off.

    Raises:
        KeyError: there is no such file.
    """
    marked = np.zeros(size, dtype=bool)
    for stroke in strokes:
        match stroke:
            case Brush():
                brush(marked, np.array(stroke.points), stroke.size / 2, not stroke.erase)
            case Lasso():
                lasso(marked, np.array(stroke.points), not stroke.erase)
            case Rectangle():
                rectangle(marked, np.array(stroke.points), not stroke.erase)
            case File():
                marked |= files[stroke.file]
            case Whole(tool="clear"):
                marked[:] = False
            case Whole():
                np.logical_not(marked, out=marked)
    return marked


def brush(marked: Marked, points: Points, radius: float, value: bool) -> None:
    """Sets the pixels whose centres lie within a radius of a line through points, and those that the points lie in."""
    height, width = marked.shape
    left, top = np.floor(points.min(0) - radius).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(points.max(0) + radius).astype(int), (width, height))
    if left >= right or top >= bottom:
        return
    rows, columns = np.arange(top, bottom), right - left
    begins = np.zeros((bottom - top, columns + 1), dtype=np.int32)  # how many parts of the line begin there, less ends
    for a, b in pairwise(np.concatenate([points[:1], points])):  # a single point is a line too
        low, high = capsule(a, b, radius, rows + 0.5)
        low = (np.floor(low - 0.5) + 1 - left).clip(0, columns)  # the first and the last centre strictly in between
        high = (np.ceil(high - 0.5) - left).clip(0, columns)
        met = low < high
        where = np.flatnonzero(met)
        np.add.at(begins, (where, low[met].astype(int)), 1)
        np.add.at(begins, (where, high[met].astype(int)), -1)
    marked[top:bottom, left:right][np.cumsum(begins[:, :-1], axis=1, dtype=np.int32, out=begins[:, :-1]) > 0] = value
    for x, y in np.floor(points).astype(int):
        if 0 <= x < width and 0 <= y < height:
            marked[y, x] = value


def capsule(
    a: Float[np.ndarray, "2"], b: Float[np.ndarray, "2"], radius: float, y: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """From where to where each row lies within a radius of the line from a to b; where it does not, from +inf to -inf.

    It is convex, so that all between the ends of its parts, two discs and a band, belongs to it.
    """
    low, high = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for x_end, y_end in (a, b):
        half = np.sqrt((radius**2 - (y - y_end) ** 2).clip(0))
        met = np.abs(y - y_end) < radius
        low[met], high[met] = np.minimum(low, x_end - half)[met], np.maximum(high, x_end + half)[met]
    length = np.hypot(*(b - a))
    if length > 0:
        ux, uy = (b - a) / length
        down = y - a[1]
        band_low, band_high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
        # from end to end along the line, and a radius to both sides across it
        for slope, rest, least, most in ((ux, uy * down, 0, length), (-uy, ux * down, -radius, radius)):
            if slope == 0:
                outside = (rest < least) | (rest > most)
                band_low[outside], band_high[outside] = np.inf, -np.inf
                continue
            bounds = (least - rest) / slope, (most - rest) / slope
            band_low, band_high = np.maximum(band_low, np.minimum(*bounds)), np.minimum(band_high, np.maximum(*bounds))
        met = band_low <= band_high
        low[met] = np.minimum(low, a[0] + band_low)[met]
        high[met] = np.maximum(high, a[0] + band_high)[met]
    return low, high


def lasso(marked: Marked, points: Points, value: bool) -> None:
    """Sets the pixels whose centres a closed line encloses; by the even-odd rule, where it crosses itself."""
    left, top = np.floor(points.min(0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(points.max(0)).astype(int), marked.shape[::-1])
    if left >= right or top >= bottom:
        return
    points, marked = points - (left, top), marked[top:bottom, left:right]
    height, width = marked.shape
    crossed = np.zeros((height, width + 1), dtype=bool)  # whether the line passes left of a pixel's centre an odd time
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        (ax, ay), (bx, by) = (a, b) if a[1] < b[1] else (b, a)
        rows = np.arange(max(0, int(np.ceil(ay - 0.5))), min(height, int(np.ceil(by - 0.5))))
        if rows.size:
            x = ax + (rows + 0.5 - ay) * ((bx - ax) / (by - ay))
            crossed[rows, np.ceil(x - 0.5).clip(0, width).astype(int)] ^= True
    marked[np.logical_xor.accumulate(crossed, axis=1)[:, :-1]] = value


def rectangle(marked: Marked, corners: Points, value: bool) -> None:
    """Sets the pixels between two corners, at least one in each direction."""
    low, high = np.round(corners.min(0)), np.round(corners.max(0))
    low = np.where(low < high, low, np.floor(corners.min(0)))
    (left, top), (right, bottom) = low.clip(0).astype(int), np.maximum(high, low + 1).clip(0).astype(int)
    marked[top:bottom, left:right] = value
