"""A further term of the generator's loss."""

from jaxtyping import Float
from torch import Tensor

Middles = Float[Tensor, "batch 3 64 64"]


def gradient_difference(
    prediction: Middles, truth: Middles, known: Float[Tensor, "batch 1 64 64"]
) -> Float[Tensor, ""]:
    """The mean absolute difference of the two pictures' gradients (Mathieu et al. 2016): blur costs more than in L2.

    Args:
        known: 1 where the network is shown the pixel that it predicts; not looked at here.
    """
    difference = prediction.float() - truth.float()
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
