"""A kind of hole."""

import torch
from jaxtyping import Float
from torch import Tensor


def discs(
    size: tuple[int, int], generator: torch.Generator, *, count: int, radius: float
) -> Float[Tensor, "1 height width"]:
    """Discs anywhere in the picture: 1 in the hole, 0 elsewhere.

    Args:
        size: height and width, in pixels.
        generator: all that is random comes from it, so that a seed always gives the same hole.
        count: how many there are; they may overlap.
        radius: of each, as a part of the picture's shorter side.
    """
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij")
    mask = torch.zeros(1, *size)
    for _ in range(count):
        row, column = (torch.rand(2, generator=generator) * torch.tensor(size)).tolist()
        mask[0, (rows - row).square() + (columns - column).square() <= (radius * min(size)) ** 2] = 1
    return mask
