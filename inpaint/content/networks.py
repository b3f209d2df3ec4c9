"""The generator (the content network) and the discriminator of the content GAN, for pictures in [0, 1].

Layer for layer those of the Context Encoder's released code (Pathak et al. 2016, train.lua). The paper (Yang
et al. 2017, section 3.3) makes the layer in the middle an ordinary fully connected one, and every ReLU and
leaky ReLU an ELU. That code zeroes the biases of its convolutions before every step: here they have none.
"""

from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.layers import (
    Activation,
    ChannelWise,
    DenseConv2d,
    DenseConvTranspose2d,
    FeatureFusion,
    downsampling,
    initialise,
    nonlinearity,
    upsampling,
)
from inpaint.errors import UserError
from inpaint.imaging import pixels
from inpaint.imaging.smooth import diffuse
from inpaint.vgg import VGG, load_vgg

SIDE = 128  # of the pictures that the content network sees
BORDER = 4  # known pixels around the middle that a smooth filling is made from
VGG_FEATURES = {1: ("relu3_1", 256), 2: ("relu4_2", 512)}  # by layer of the encoder: VGG-16's of that size, channels
VGG_BATCH = 8  # pictures that go through VGG at a time: its first layers are large, and a processor's cache is not

Pictures = Float[Tensor, "batch 3 128 128"]
Masks = Float[Tensor, "batch 1 128 128"]
Middles = Float[Tensor, "batch 3 64 64"]
Architecture = dict[str, str | int | float | bool]
"""A network as plain data: the name of its class as `class`, and the class's arguments by their names."""


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
        encoder_activation, decoder_activation: the nonlinearities; originally leaky ReLU and ReLU.
        residual: whether it adds to a smooth filling.
        perceptual: whether a residual network also sees the features of VGG-16 that ship with this package.

    Raises:
        UserError: a width is below 1; there is no such `middle` or activation; it is perceptual but not residual.
    """

    def __init__(
        self,
        *,
        filters: int,
        bottleneck: int,
        middle: Literal["fully_connected", "channel_wise"],
        encoder_activation: Activation,
        decoder_activation: Activation,
        residual: bool,
        perceptual: bool,
    ) -> None:
        super().__init__()
        if (width := min(filters, bottleneck)) < 1:
            raise UserError(f"The generator has a layer of width {width}: filters and bottleneck must be at least 1.")
        if perceptual and not residual:
            raise UserError("A perceptual generator looks at a smooth filling: set residual=true as well.")
        self.architecture: Architecture = {
            "class": type(self).__name__,
            "filters": filters,
            "bottleneck": bottleneck,
            "middle": middle,
            "encoder_activation": encoder_activation,
            "decoder_activation": decoder_activation,
            "residual": residual,
            "perceptual": perceptual,
        }
        self.residual = residual
        widths = [filters, filters, 2 * filters, 4 * filters, 8 * filters]
        innermost = widths[-1]

        first = downsampling(4 if residual else 3, filters)
        self.encoder = nn.ModuleList([nn.Sequential(first, nonlinearity(encoder_activation))])
        for inputs, outputs in pairwise(widths):
            layers = [downsampling(inputs, outputs), nn.BatchNorm2d(outputs), nonlinearity(encoder_activation)]
            self.encoder.append(nn.Sequential(*layers))

        self.vgg: list[VGG] = []  # in a list, for it is no part of this network: not averaged or synchronised with it
        self.joins = nn.ModuleDict()
        if perceptual:
            with torch.device("cpu"):  # where its file is read to, also while this network is built without memory
                self.vgg.append(load_vgg())
            for i, (_, channels) in VGG_FEATURES.items():
                self.joins[str(i)] = FeatureFusion(widths[i], channels, encoder_activation)

        if middle == "fully_connected":  # on 4 x 4 features a 4 x 4 convolution is just that
            between = [
                DenseConv2d(innermost, bottleneck, 4, bias=False),
                nn.BatchNorm2d(bottleneck),
                nonlinearity(encoder_activation),
                DenseConvTranspose2d(bottleneck, innermost, 4, bias=False),
            ]
        elif middle == "channel_wise":
            between = [ChannelWise(innermost, 4), nn.Conv2d(innermost, innermost, 1, bias=False)]
        else:
            raise UserError(f"The generator's middle is {middle!r}: it must be 'fully_connected' or 'channel_wise'.")
        self.middle = nn.Sequential(*between, nn.BatchNorm2d(innermost), nonlinearity(decoder_activation))

        self.decoder = nn.ModuleList()
        skipped = widths[-2::-1] if residual else [0, 0, 0, 0]  # channels of the encoder's features
        decoded = pairwise([innermost, 4 * filters, 2 * filters, filters, 3])
        for (inputs, outputs), beside in zip(decoded, skipped, strict=True):
            end = [nn.Tanh()] if outputs == 3 else [nn.BatchNorm2d(outputs), nonlinearity(decoder_activation)]
            self.decoder.append(nn.Sequential(upsampling(inputs + beside, outputs), *end))
        self.apply(initialise)

    def forward(self, picture: Pictures, mask: Masks) -> Middles:
        """The middle, in [0, 1], of a picture whose hole is filled with a constant colour.

        Only a residual network looks at the mask (1 in the hole). What it predicts outside the hole is the picture; in
        the hole it may leave [0, 1] a little.
        """
        h, phi = 2 * picture - 1, {}
        if self.residual:
            start = picture.clone()
            near = slice(SIDE // 4 - BORDER, BORDER - SIDE // 4)
            start[..., near, near] = diffuse(picture[..., near, near], mask[..., near, near])
            h = torch.cat([2 * start - 1, mask], 1)
            phi = self.vgg_features(start) if self.vgg else {}
        encoded: list[Tensor] = []  # the middle of each layer's features, the innermost first
        for i, layer in enumerate(self.encoder):
            h = layer(h)
            h = self.joins[str(i)](h, phi[i]) if i in phi else h
            encoded.insert(0, pixels.middle(h))
        h = self.middle(h)
        for layer, beside in zip(self.decoder, encoded[1:], strict=True):
            h = layer(torch.cat([h, beside], 1) if self.residual else h)
        if self.residual:
            return pixels.middle(start) + pixels.middle(mask) * h
        return (h.to(picture.dtype) + 1) / 2  # in the picture's precision: in bfloat16 this would have 8 bits at most

    @property
    def weight_files(self) -> dict[str, Path]:
        """The file of VGG's weights under `content_vgg` where the network is perceptual, else none."""
        return {"content_vgg": self.vgg[0].weight_files["vgg"]} if self.vgg else {}

    @torch.no_grad()
    def vgg_features(self, picture: Pictures) -> dict[int, Float[Tensor, "batch _ _ _"]]:
        """VGG's features of a picture, by the layer of the encoder that they join, in a precision that is fast."""
        vgg, names = self.vgg[0].on(picture.device), [name for name, _ in VGG_FEATURES.values()]
        parts = [vgg(part, names) for part in picture.split(VGG_BATCH)]
        return {i: torch.cat([part[name] for part in parts]) for i, (name, _) in VGG_FEATURES.items()}


class Discriminator(nn.Module):
    """DCGAN's discriminator on 64 x 64 pictures: real or predicted.

    Args:
        filters: width of the first layer, at least 1 (else a UserError); the innermost one has eight times as many.
        activation: the nonlinearity; originally leaky ReLU.
    """

    def __init__(self, *, filters: int, activation: Activation) -> None:
        super().__init__()
        if filters < 1:
            raise UserError(f"The discriminator has a layer of width {filters}: filters must be at least 1.")
        self.architecture: Architecture = {"class": type(self).__name__, "filters": filters, "activation": activation}
        layers = [downsampling(3, filters), nonlinearity(activation)]
        for inputs, outputs in pairwise([filters, 2 * filters, 4 * filters, 8 * filters]):
            layers += [downsampling(inputs, outputs), nn.BatchNorm2d(outputs), nonlinearity(activation)]
        self.layers = nn.Sequential(*layers, DenseConv2d(8 * filters, 1, 4, bias=False))
        self.apply(initialise)

    def forward(self, picture: Middles) -> Float[Tensor, " batch"]:
        """The logit of each picture in [0, 1]: above 0 where the discriminator takes it for real."""
        return self.layers(2 * picture - 1).flatten()
