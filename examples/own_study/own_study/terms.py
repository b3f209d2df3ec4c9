"""A further term of the refinement's energy (equation 1)."""

from jaxtyping import Float
from torch import Tensor

Picture = Float[Tensor, "3 height width"]


def mean_colour(x: Picture, x_i: Picture, mask: Float[Tensor, "1 height width"]) -> Float[Tensor, ""]:
    """The squared distance of the hole's mean colour from what it was at the start of the scale, x_i."""
    return (((x - x_i) * mask).sum((1, 2)) / mask.sum()).square().mean()
