"""The losses that the content GAN minimises, and the errors of its predictions. Pictures are in [0, 1]."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.networks import Masks, Middles
from inpaint.errors import UserError
from inpaint.vgg import load_vgg

OWN = ("rec", "g", "adv", "d_real", "d_fake")  # the names of the losses that the content GAN has itself


class FurtherLoss(TypedDict):
    """A further term of the generator's loss: `weight` times what `loss` returns.

    `loss` takes the prediction and the truth, [batch, 3, 64, 64] in float32, and where the network was shown the
    middle, [batch, 1, 64, 64], 1 where it was; it returns a tensor of one number, differentiable in the prediction. One
    that is an nn.Module is moved to the training's device, and is not trained.
    """

    weight: float
    loss: Callable[[Middles, Middles, Masks], Float[Tensor, ""]]


def further_losses(losses: Mapping[str, Any]) -> dict[str, FurtherLoss]:
    """The terms as they are used; modules among them in evaluation mode and without gradients of their own.

    Raises:
        UserError: a name is taken, a loss is not callable, or a weight is not a number of at least 0.
    """
    checked: dict[str, FurtherLoss] = {}
    for name, term in losses.items():
        key = f"losses.{name}"
        if name in OWN:
            raise UserError(f"{key}: the content GAN has a loss of that name itself, so give yours another.")
        if not isinstance(term, Mapping) or term.keys() != {"weight", "loss"}:
            raise UserError(f"{key} must have a weight and a loss, and nothing else.")
        weight, loss = term["weight"], term["loss"]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UserError(f"{key}.weight is {weight!r}, but a weight must be at least 0, and finite.")
        if not callable(loss):
            raise UserError(f"{key}.loss is {loss!r}, but must be callable: give a _target_ (_partial_ if a function).")
        if isinstance(loss, nn.Module):
            loss.requires_grad_(False).eval()
        checked[name] = {"weight": weight, "loss": loss}
    return checked


def check_one_number(name: str, value: Any) -> Tensor:
    """Returns what a further loss returned, or raises a UserError where it is no tensor of one number."""
    if not isinstance(value, Tensor) or value.ndim:
        got = f"one of the shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
        raise UserError(f"losses.{name} must return a tensor of one number, the mean over the batch, but gave {got}.")
    return value


class PerceptualLoss(nn.Module):
    """How far prediction and truth are apart in a VGG's features phi: the mean, over layers and pictures, of

        |phi(prediction) - phi(truth)|^2 / |phi(truth)|^2

    It is the feature reconstruction loss of Johnson et al. 2016, divided so that no layer outweighs another: 0 if they
    are equal, about 1 if they have nothing in common. VGG's weights are in no checkpoint.

    Args:
        layers: of VGG, such as relu2_2; a cell of relu<block>_<number> is 2^(block - 1) pixels wide.
        weights: see `load_vgg`.
        shrink: how many times smaller VGG sees both, from 1 on: then detail that the refinement blurs
            away does not count, and the loss takes less time (a quarter with 2).

    Raises:
        UserError: no layer is named, or VGG's weights do not reach one; both cannot be made so much smaller; as
            `load_vgg`.
    """

    def __init__(self, layers: Sequence[str], weights: str | Path, shrink: int = 1) -> None:
        super().__init__()
        if not layers:
            raise UserError("The perceptual loss needs layers of VGG, such as relu2_2.")
        if not isinstance(shrink, int) or not 1 <= shrink <= 4:
            raise UserError(f"The perceptual loss's shrink is {shrink!r}, but must be a whole number from 1 to 4.")
        self.shrink = shrink
        self.vgg, self.layers = load_vgg(weights), list(layers)
        self.vgg.steps(self.layers)  # refuses what is not there
        self.weight_files = self.vgg.weight_files

    def forward(self, prediction: Middles, truth: Middles, known: Masks) -> Float[Tensor, ""]:
        vgg = self.vgg.on(prediction.device)
        prediction, truth = (F.avg_pool2d(x, self.shrink) for x in (prediction, truth))
        with torch.autocast(prediction.device.type, enabled=False):  # VGG has a precision of its own
            with torch.no_grad():
                wanted = vgg(truth, self.layers)
            found = vgg(prediction, self.layers)
        distances = []
        for layer in self.layers:
            phi, own = wanted[layer].float(), found[layer].float()
            distances.append(((own - phi).square().sum((1, 2, 3)) / phi.square().sum((1, 2, 3)).clamp(min=1e-6)).mean())
        return torch.stack(distances).mean()


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
