"""The two networks of the content GAN, as functions of pictures in [0, 1].

Layer for layer those of the Context Encoder's released code (Pathak et al. 2016, train.lua). The paper (Yang
et al. 2017, section 3.3) makes the layer in the middle an ordinary fully connected one, and every ReLU and
leaky ReLU an ELU. That code zeroes the biases of its convolutions before every step: here they have none.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.errors import UserError
from inpaint.imaging.pixels import middle as central
from inpaint.imaging.smooth import diffuse
from inpaint.vgg import VGG, load_vgg

SIDE = 128  # of the pictures that the content network sees
RIM = 4  # known pixels around the middle that a smooth filling is made from
PERCEIVED = {1: ("relu3_1", 256), 2: ("relu4_2", 512)}  # layer of the encoder: that of VGG, as large, and its channels
CHUNK = 8  # pictures that go through VGG at a time: its first layers are large, and a processor's cache is not
Activation = Callable[[], nn.Module]
halve = partial(nn.Conv2d, kernel_size=4, stride=2, padding=1, bias=False)
double = partial(nn.ConvTranspose2d, kernel_size=4, stride=2, padding=1, bias=False)


class ContextEncoder(nn.Module):
    """Predicts the 64 x 64 middle of a 128 x 128 picture with a hole.

    The papers' network knows its hole by its colour. A residual one is shown the hole filled smoothly, and the mask as
    a fourth channel, and predicts what is to be added there; its decoder also sees the encoder's features of the
    middle (skip connections, Ronneberger et al. 2015). So it starts where diffusion ends, in holes of any shape.
    A perceptual one also sees what VGG-16 makes of that filling, which few pictures could not teach it.

    Args:
        filters: width of the first layer; the innermost one has eight times as many.
        bottleneck: width of the fully connected middle; the channel-wise one has none.
        middle: how the 4 x 4 innermost features see each other: `fully_connected` (the paper's) or
            `channel_wise` (Pathak et al., section 3.1: each channel by itself, then a 1 x 1 convolution).
        encoder_activation, decoder_activation: make the nonlinearities; originally leaky ReLU (0.2) and ReLU.
        residual: whether it adds to a smooth filling.
        perceptual: whether a residual network also sees the features of VGG-16 that ship with this package.

    Raises:
        UserError: `middle` names neither; a perceptual network that is not residual.
    """

    def __init__(
        self,
        filters: int = 64,
        bottleneck: int = 4000,
        middle: Literal["fully_connected", "channel_wise"] = "fully_connected",
        encoder_activation: Activation = nn.ELU,
        decoder_activation: Activation = nn.ELU,
        residual: bool = False,
        perceptual: bool = False,
    ) -> None:
        super().__init__()
        if perceptual and not residual:
            raise UserError("A perceptual generator looks at a smooth filling: set residual=true as well.")
        self.residual = residual
        widths = [filters, filters, 2 * filters, 4 * filters, 8 * filters]
        deep = widths[-1]

        self.encoder = nn.ModuleList([nn.Sequential(halve(4 if residual else 3, filters), encoder_activation())])
        for inputs, outputs in pairwise(widths):
            self.encoder.append(nn.Sequential(halve(inputs, outputs), nn.BatchNorm2d(outputs), encoder_activation()))

        self.vgg: list[VGG] = []  # in a list, for it is no part of this network: not averaged or synchronised with it
        self.joins = nn.ModuleDict()
        if perceptual:
            self.vgg.append(load_vgg())
            for i, (_, seen) in PERCEIVED.items():
                self.joins[str(i)] = Join(widths[i], seen, encoder_activation)

        if middle == "fully_connected":  # on 4 x 4 features a 4 x 4 convolution is just that
            between = [
                Gather(deep, bottleneck, 4, bias=False),
                nn.BatchNorm2d(bottleneck),
                encoder_activation(),
                Spread(bottleneck, deep, 4, bias=False),
            ]
        elif middle == "channel_wise":
            between = [ChannelWise(deep, 4), nn.Conv2d(deep, deep, 1, bias=False)]
        else:
            raise UserError(f"The generator's middle is {middle!r}: it must be 'fully_connected' or 'channel_wise'.")
        self.middle = nn.Sequential(*between, nn.BatchNorm2d(deep), decoder_activation())

        self.decoder = nn.ModuleList()
        skipped = widths[-2::-1] if residual else [0, 0, 0, 0]  # of the encoder's features
        decoded = pairwise([deep, 4 * filters, 2 * filters, filters, 3])
        for (inputs, outputs), beside in zip(decoded, skipped, strict=True):
            end = [nn.Tanh()] if outputs == 3 else [nn.BatchNorm2d(outputs), decoder_activation()]
            self.decoder.append(nn.Sequential(double(inputs + beside, outputs), *end))
        self.apply(initialise)

    def forward(
        self, picture: Float[Tensor, "batch 3 128 128"], mask: Float[Tensor, "batch 1 128 128"]
    ) -> Float[Tensor, "batch 3 64 64"]:
        """The middle of a picture in [0, 1]; the network itself works on [-1, 1].

        Args:
            picture: the hole filled with a constant colour.
            mask: 1 in the hole. Only a residual network looks at it; what it predicts outside the hole is the picture.

        Returns:
            In [0, 1]; a residual network may leave that range a little.
        """
        h, phi = 2 * picture - 1, {}
        if self.residual:
            start = picture.clone()
            near = (..., slice(SIDE // 4 - RIM, RIM - SIDE // 4), slice(SIDE // 4 - RIM, RIM - SIDE // 4))
            start[near] = diffuse(picture[near], mask[near])
            h = torch.cat([2 * start - 1, mask], 1)
            phi = self.perceive(start) if self.vgg else {}
        seen: list[Tensor] = []
        for i, layer in enumerate(self.encoder):
            h = layer(h)
            h = self.joins[str(i)](h, phi[i]) if i in phi else h
            seen.insert(0, central(h))
        h = self.middle(h)
        for layer, beside in zip(self.decoder, seen[1:], strict=True):
            h = layer(torch.cat([h, beside], 1) if self.residual else h)
        # in the picture's precision: in bfloat16 (h + 1) / 2 would have no more than 8 bits
        return central(start) + central(mask) * h if self.residual else (h.to(picture.dtype) + 1) / 2

    @property
    def weight_files(self) -> dict[str, Path]:
        """What it reads that is not its own: the file of VGG's weights, if it is perceptual."""
        return {"content_vgg": self.vgg[0].weight_files["vgg"]} if self.vgg else {}

    @torch.no_grad()
    def perceive(self, picture: Float[Tensor, "batch 3 128 128"]) -> dict[int, Float[Tensor, "batch _ _ _"]]:
        """The features of VGG that join those of the encoder's layers 1 and 2 (`PERCEIVED`), in what is fast there."""
        vgg, names = self.vgg[0].on(picture.device), [name for name, _ in PERCEIVED.values()]
        parts = [vgg(part, names) for part in picture.split(CHUNK)]
        return {i: torch.cat([part[name] for part in parts]) for i, (name, _) in PERCEIVED.items()}


class Join(nn.Module):
    """Adds to features what it finds in them and in VGG's of the same pixels; at first nothing.

    Args:
        channels: of the features.
        seen: channels of VGG's.
        activation: makes the nonlinearity.
    """

    def __init__(self, channels: int, seen: int, activation: Activation) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(seen, channels, 1, bias=False), nn.BatchNorm2d(channels), activation())
        self.add = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(
        self, features: Float[Tensor, "batch channels height width"], phi: Float[Tensor, "batch seen height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return features + self.add(torch.cat([features, self.look(phi.to(features.dtype))], 1))


class Discriminator(nn.Module):
    """DCGAN's discriminator on 64 x 64 pictures: real or predicted.

    Args:
        filters: width of the first layer; the innermost one has eight times as many.
        activation: makes the nonlinearities; originally leaky ReLU (0.2).
    """

    def __init__(self, filters: int = 64, activation: Activation = nn.ELU) -> None:
        super().__init__()
        layers = [halve(3, filters), activation()]
        for inputs, outputs in pairwise([filters, 2 * filters, 4 * filters, 8 * filters]):
            layers += [halve(inputs, outputs), nn.BatchNorm2d(outputs), activation()]
        self.layers = nn.Sequential(*layers, Gather(8 * filters, 1, 4, bias=False))
        self.apply(initialise)

    def forward(self, picture: Float[Tensor, "batch 3 64 64"]) -> Float[Tensor, " batch"]:
        """A picture in [0, 1] to its logit: above 0 where the discriminator takes it for real."""
        return self.layers(2 * picture - 1).flatten()


class Gather(nn.Conv2d):
    """A convolution whose kernel is as large as its input, as the matrix product that it is.

    The same weights, and the same numbers but for rounding; the routines for convolutions are many times slower at it.
    """

    def forward(self, features: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch outputs 1 1"]:
        return F.linear(by_pixel(features), by_pixel(self.weight))[..., None, None]


class Spread(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, as the matrix product that it is (see `Gather`)."""

    def forward(  # type: ignore[override]  # there is only one size that it can have
        self, features: Float[Tensor, "batch channels 1 1"]
    ) -> Float[Tensor, "batch outputs side side"]:
        _, outputs, height, width = self.weight.shape
        pixels = features.flatten(1) @ by_pixel(self.weight)
        return pixels.view(-1, height, width, outputs).permute(0, 3, 1, 2)


def by_pixel(x: Float[Tensor, "rows channels side side"]) -> Float[Tensor, "rows values"]:
    """Each row flattened, one pixel's channels after another's: no copy where channels come last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


class ChannelWise(nn.Module):
    """A fully connected layer within each channel, none across them (Pathak et al., section 3.1)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        pixels = side * side
        self.weight = nn.Parameter(torch.empty(channels, pixels, pixels).normal_(std=pixels**-0.5))

    def forward(self, features: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch channels side side"]:
        return torch.einsum("bci,coi->bco", features.flatten(2), self.weight).view_as(features)


def initialise(layer: nn.Module) -> None:
    """DCGAN's start: convolutions N(0, 0.02), normalisation scales N(1, 0.02), shifts 0; and what a join adds: 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, Join):  # comes after its parts
        nn.init.zeros_(layer.add.weight)
