"""The losses that the content GAN minimises, and the errors of its predictions. Pictures are in [0, 1]."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def reconstruction(
    prediction: Float[Tensor, "batch 3 height width"],
    truth: Float[Tensor, "batch 3 height width"],
    known: Float[Tensor, "batch 1 height width"],
    ring_weight: float,
) -> Float[Tensor, ""]:
    """The mean of the weighted squared differences, as in the Context Encoder's code (train.lua, `wtl2Matrix`).

    Differences are in that code's units, pixels in [-1, 1], for which its lambdas are stated.

    Args:
        known: 1 where the network is shown the pixel that it predicts (the overlap ring), 0 in the hole.
        ring_weight: weight of the known pixels; those of the hole weigh 1. The mean is over all values alike.
    """
    weight = 1 + (ring_weight - 1) * known
    return (weight * (2 * (prediction.float() - truth.float())).square()).mean()


def real_loss(logits: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean of -log D: the discriminator's loss on real pictures, the generator's adversarial loss."""
    return F.softplus(-logits.float()).mean()


def fake_loss(logits: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean of -log(1 - D): the discriminator's loss on predictions."""
    return F.softplus(logits.float()).mean()


def hole_errors(
    prediction: Float[Tensor, "batch 3 height width"],
    truth: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """L1 and L2 in percent (the paper's Table 1) and PSNR in dB, at most 100, over each picture's hole."""
    difference = mask * (prediction.float() - truth.float())
    values = 3 * mask.sum((1, 2, 3))
    l1 = difference.abs().sum((1, 2, 3)) / values
    l2 = difference.square().sum((1, 2, 3)) / values
    return 100 * l1, 100 * l2, -10 * l2.clamp(min=1e-10).log10()
