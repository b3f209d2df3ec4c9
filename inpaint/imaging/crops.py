"""Squares cut out of pictures and of their masks, and resized: at the centre, or at a random place."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from inpaint.imaging.pixels import Mask, Picture, resize, resize_mask

Square = tuple[int, int, int]  # top, left and side, in pixels


class Crop(NamedTuple):
    """A square of a picture of any size: its side and place as parts of what there is, and whether it is mirrored."""

    part: float  # of the shorter side
    down: float  # from 0, the top, to 1, the bottom
    across: float
    flip: bool

    def square(self, height: int, width: int) -> Square:
        """Where that is in a picture of this size."""
        side = max(1, round(min(height, width) * self.part))
        return int(self.down * (height - side + 1)), int(self.across * (width - side + 1)), side


def random_crop(scale: tuple[float, float], generator: torch.Generator) -> Crop:
    """Draws a crop whose side is a part within `scale` of the shorter side; half of the crops are mirrored."""
    part, down, across, flip = torch.rand(4, generator=generator).tolist()
    return Crop(scale[0] + (scale[1] - scale[0]) * part, down, across, flip < 0.5)


def centre(height: int, width: int) -> Square:
    """The largest centred square of a picture of this size."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def cut(picture: Shaped[Tensor, "3 height width"], crop: Crop, size: int) -> Shaped[Tensor, "3 size size"]:
    """Cuts a crop out of a picture and resizes it."""
    square = _resized(picture, crop.square(*picture.shape[1:]), size)
    return square.flip(-1) if crop.flip else square


def cut_mask(mask: Mask, crop: Crop, size: int) -> Float[Tensor, "1 size size"]:
    """Cuts a crop out of a picture's mask, and resizes it as `resize_mask`."""
    square = _resized_mask(mask, crop.square(*mask.shape[1:]), size)
    return square.flip(-1) if crop.flip else square


def centre_crop(picture: Picture, size: int) -> Float[Tensor, "3 size size"]:
    """Cuts the largest centred square out of a picture and resizes it."""
    return _resized(picture, centre(*picture.shape[1:]), size).clamp(0, 1)


def centre_crop_mask(mask: Mask, size: int) -> Float[Tensor, "1 size size"]:
    """Cuts the largest centred square out of a mask, and resizes it as `resize_mask`."""
    return _resized_mask(mask, centre(*mask.shape[1:]), size)


def _resized(picture: Shaped[Tensor, "3 height width"], square: Square, size: int) -> Shaped[Tensor, "3 size size"]:
    top, left, side = square
    cropped = picture[None, :, top : top + side, left : left + side]
    return resize(cropped.contiguous(memory_format=torch.channels_last), (size, size))[0]  # faster than as it lies


def _resized_mask(mask: Mask, square: Square, size: int) -> Float[Tensor, "1 size size"]:
    top, left, side = square
    return resize_mask(mask[:, top : top + side, left : left + side], (size, size))
