"""The energies of the refinement (equation 1): one value a picture, so that pictures of a batch stay independent.

E(x) = E_c(x, x_i) + alpha E_t(phi(x), R^phi) + beta Y(x)
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from inpaint.refinement.matching import Target
from inpaint.refinement.settings import Settings


def content(
    x: Float[Tensor, "batch channels height width"],
    c: Float[Tensor, "batch channels height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """E_c (equation 2): the mean over the hole's pixels and channels of (x - c)^2."""
    squares = ((x - c).pow(2) * mask).sum((1, 2, 3))
    return squares / (x.shape[1] * mask.sum((1, 2, 3)))


def texture(
    phi: Mapping[str, Float[Tensor, "batch channels rows columns"]], targets: Mapping[str, Target]
) -> Float[Tensor, " batch"]:
    """E_t (equation 3), summed over the layers, with the matches held fixed; phi in the boxes of the targets."""
    return sum(
        ((t.weight * (phi[layer].float() - t.wanted).pow(2)).sum((1, 2, 3)) + t.rest for layer, t in targets.items()),
        start=torch.zeros(()),
    )


def tv(
    x: Float[Tensor, "batch channels height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Y (equation 5): squared differences of neighbouring pixels, at least one of them in the hole, over 3 |R|."""
    down, right = (x[:, :, 1:] - x[:, :, :-1]).pow(2), (x[..., 1:] - x[..., :-1]).pow(2)
    down = down * torch.maximum(mask[:, :, 1:], mask[:, :, :-1])
    right = right * torch.maximum(mask[..., 1:], mask[..., :-1])
    return (down.sum((1, 2, 3)) + right.sum((1, 2, 3))) / (x.shape[1] * mask.sum((1, 2, 3)))


class Energies(NamedTuple):
    """The terms of equation 1, unweighted, one value a picture."""

    content: Float[Tensor, " batch"]
    texture: Float[Tensor, " batch"]
    tv: Float[Tensor, " batch"]

    def total(self, settings: Settings) -> Float[Tensor, " batch"]:
        return settings.content_weight * self.content + settings.alpha * self.texture + settings.beta * self.tv
