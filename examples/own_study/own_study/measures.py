"""A measure of a filled picture."""

from jaxtyping import Float
from torch import Tensor

Picture = Float[Tensor, "3 height width"]


def edge_error(prediction: Picture, truth: Picture, mask: Float[Tensor, "1 height width"]) -> float:
    """The mean absolute difference of the two pictures' gradients over the hole: 0 if equal."""
    difference = prediction - truth
    across, down = difference.diff(dim=-1).abs().mean(0), difference.diff(dim=-2).abs().mean(0)
    hole = mask[0] > 0
    return float(across[hole[:, 1:]].mean() + down[hole[1:]].mean())
