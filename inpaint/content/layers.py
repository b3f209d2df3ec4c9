"""The layers that the content GAN's networks are made of."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.errors import UserError

Activation = Literal["elu", "relu", "leaky_relu"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, negative_slope=0.2),
}


class FeatureFusion(nn.Module):
    """Adds to the encoder's features what it finds in them and in VGG's of the same pixels; nothing, until trained."""

    def __init__(self, channels: int, vgg_channels: int, activation: Activation) -> None:
        super().__init__()
        narrower = nn.Conv2d(vgg_channels, channels, 1, bias=False)
        self.look = nn.Sequential(narrower, nn.BatchNorm2d(channels), nonlinearity(activation))
        self.add = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(
        self,
        features: Float[Tensor, "batch channels height width"],
        phi: Float[Tensor, "batch vgg_channels height width"],
    ) -> Float[Tensor, "batch channels height width"]:
        return features + self.add(torch.cat([features, self.look(phi.to(features.dtype))], 1))


class DenseConv2d(nn.Conv2d):
    """A convolution whose kernel is as large as its input, computed as the matrix product that it is.

    The same weights, and the same numbers but for rounding; the routines for convolutions are many times slower at it.
    """

    def forward(self, features: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch outputs 1 1"]:
        return F.linear(flatten_pixels(features), flatten_pixels(self.weight))[..., None, None]


class DenseConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, computed as the matrix product that it is (see `DenseConv2d`)."""

    def forward(  # type: ignore[override]  # there is only one size that it can have
        self, features: Float[Tensor, "batch channels 1 1"]
    ) -> Float[Tensor, "batch outputs side side"]:
        _, outputs, height, width = self.weight.shape
        values = features.flatten(1) @ flatten_pixels(self.weight)
        return values.view(-1, height, width, outputs).permute(0, 3, 1, 2)


class ChannelWise(nn.Module):
    """A fully connected layer within each channel, none across them (Pathak et al., section 3.1)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, side**2, side**2))
        draw(self.weight, 0.0, 1 / side)

    def forward(self, features: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch channels side side"]:
        return torch.einsum("bci,coi->bco", features.flatten(2), self.weight).view_as(features)


def flatten_pixels(x: Float[Tensor, "rows channels side side"]) -> Float[Tensor, "rows values"]:
    """Each row flattened, one pixel's channels after another's: no copy where channels come last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


def nonlinearity(name: Activation) -> nn.Module:
    """Makes the layer of an activation's name, or raises a UserError."""
    if name not in [*ACTIVATIONS]:  # a list, for what a file or a configuration gives may have no hash
        raise UserError(f"There is no activation {name!r}: choose {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


def downsampling(inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution that halves height and width."""
    return nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)


def upsampling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)


def initialise(layer: nn.Module) -> None:
    """Starts a layer as DCGAN does: convolutions N(0, 0.02), scales N(1, 0.02), shifts and what is fused 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        draw(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        draw(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, FeatureFusion):  # comes after its parts
        nn.init.zeros_(layer.add.weight)


def draw(weight: Tensor, mean: float, std: float) -> None:
    """Draws a weight's values from N(mean, std); not those of one without memory, for which PyTorch takes seconds."""
    if not weight.is_meta:
        nn.init.normal_(weight, mean, std)
