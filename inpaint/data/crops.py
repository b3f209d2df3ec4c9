"""Square crops of pictures: the centre for evaluation, a random place and scale for training."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from inpaint.imaging.pixels import resize


class Crop(NamedTuple):
    """A square of a picture of any size: its side and place as parts of what there is, and whether it is mirrored."""

    part: float  # of the shorter side
    down: float  # from 0, the top, to 1, the bottom
    across: float
    flip: bool


def random_crop(scale: tuple[float, float], generator: torch.Generator) -> Crop:
    """Draws a crop whose side is a part within `scale` of the shorter side; half of the crops are mirrored."""
    part, down, across, flip = torch.rand(4, generator=generator).tolist()
    return Crop(scale[0] + (scale[1] - scale[0]) * part, down, across, flip < 0.5)


def cut(picture: Shaped[Tensor, "3 height width"], crop: Crop, size: int) -> Shaped[Tensor, "3 size size"]:
    """Cuts a crop out of a picture and resizes it."""
    height, width = picture.shape[1:]
    side = max(1, round(min(height, width) * crop.part))
    square = _square(picture, int(crop.down * (height - side + 1)), int(crop.across * (width - side + 1)), side, size)
    return square.flip(-1) if crop.flip else square


def centre_crop(picture: Float[Tensor, "3 height width"], size: int) -> Float[Tensor, "3 size size"]:
    """Cuts the largest centred square out of a picture and resizes it."""
    height, width = picture.shape[1:]
    side = min(height, width)
    return _square(picture, (height - side) // 2, (width - side) // 2, side, size).clamp(0, 1)


def _square(
    picture: Shaped[Tensor, "3 height width"], top: int, left: int, side: int, size: int
) -> Shaped[Tensor, "3 size size"]:
    square = picture[None, :, top : top + side, left : left + side]
    return resize(square.contiguous(memory_format=torch.channels_last), (size, size))[0]  # faster than as it lies
