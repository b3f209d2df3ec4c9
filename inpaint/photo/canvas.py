"""Enlarges a photo's canvas: more of the picture than was taken."""

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.photo.photo import Photo
from inpaint.photo.windows import Piece, reflected


class Margins(NamedTuple):
    """By how much a canvas grows on each side: pixels, or, where they end with %, shares of the photo's side."""

    left: str = "0"
    top: str = "0"
    right: str = "0"
    bottom: str = "0"

    @classmethod
    def parse(cls, text: str) -> "Margins":
        """Reads four of them, separated by commas; a UserError if they are not that."""
        parts = [part.strip() for part in str(text).split(",")]
        if len(parts) != 4 or not all(re.fullmatch(r"\d{1,7}|\d{1,7}(\.\d{1,7})?%", part, re.A) for part in parts):
            raise UserError(
                f"--expand {text} is not LEFT,TOP,RIGHT,BOTTOM, in pixels or per cent of the photo: give 0,0,400,0 or "
                "10%,10%,10%,10%, say."
            )
        return cls(*parts)

    def box(self, size: tuple[int, int]) -> Box:
        """The photo of that height and width, in the pixels of the enlarged canvas."""
        height, width = size
        left, top = pixels(self.left, width), pixels(self.top, height)
        return Box(left, top, left + width, top + height)

    def canvas(self, size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
        """Height and width of the enlarged canvas of a photo of that size.

        Raises:
            UserError: nothing is added, or the canvas would have more than `max_pixels`.
        """
        box = self.box(size)
        height, width = box.bottom + pixels(self.bottom, size[0]), box.right + pixels(self.right, size[1])
        if (height, width) == size:
            raise UserError(f"--expand {','.join(self)} adds nothing: enlarge at least one side by a pixel or more.")
        if height * width > max_pixels:
            raise UserError(
                f"The enlarged canvas would have {width} x {height} pixels, more than {max_pixels}: expand less, or "
                "raise --max-pixels (max_pixels)."
            )
        return height, width


def pixels(margin: str, side: int) -> int:
    """A margin in pixels."""
    return round(float(margin[:-1]) / 100 * side) if margin.endswith("%") else int(margin)


def expanded(photo: Photo, margins: Margins, max_pixels: int) -> tuple[Photo, Piece]:
    """The photo on its enlarged canvas, and what is new of it, to be filled: there it is mirrored.

    Raises as `Margins.canvas`.
    """
    box, (height, width) = margins.box(photo.size), margins.canvas(photo.size, max_pixels)
    rows = reflected(np.arange(-box.top, height - box.top), photo.size[0])
    columns = reflected(np.arange(-box.left, width - box.left), photo.size[1])
    own = np.ones((height, width), dtype=bool)
    own[box.slices] = False
    piece = Piece(Box(0, 0, width, height), own, kind="canvas")
    return replace(photo, pixels=photo.pixels[rows[:, None], columns]), piece
