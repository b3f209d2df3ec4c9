"""The two networks of the content GAN, as functions of pictures in [0, 1].

Layer for layer those of the Context Encoder's released code (Pathak et al. 2016, train.lua). The paper (Yang
et al. 2017, section 3.3) makes the layer in the middle an ordinary fully connected one, and every ReLU and
leaky ReLU an ELU. That code zeroes the biases of its convolutions before every step: here they have none.
"""

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from inpaint.errors import UserError

STARTER = Path(str(files("inpaint.assets") / "starter.safetensors"))  # the content network that ships

SIDE = 128  # of the pictures that the content network sees

Activation = Callable[[], nn.Module]

halve = partial(nn.Conv2d, kernel_size=4, stride=2, padding=1, bias=False)
double = partial(nn.ConvTranspose2d, kernel_size=4, stride=2, padding=1, bias=False)


class ContextEncoder(nn.Module):
    """Predicts the 64 x 64 middle of a 128 x 128 picture whose hole is filled by a constant colour.

    Args:
        filters: width of the first layer; the innermost one has eight times as many.
        bottleneck: width of the fully connected middle; the channel-wise one has none.
        middle: how the 4 x 4 innermost features see each other: `fully_connected` (the paper's) or
            `channel_wise` (Pathak et al., section 3.1: each channel by itself, then a 1 x 1 convolution).
        encoder_activation, decoder_activation: make the nonlinearities; originally leaky ReLU (0.2) and ReLU.

    Raises:
        UserError: `middle` names neither.
    """

    def __init__(
        self,
        filters: int = 64,
        bottleneck: int = 4000,
        middle: Literal["fully_connected", "channel_wise"] = "fully_connected",
        encoder_activation: Activation = nn.ELU,
        decoder_activation: Activation = nn.ELU,
    ) -> None:
        super().__init__()
        deep = 8 * filters

        encoder = [halve(3, filters), encoder_activation()]
        for inputs, outputs in pairwise([filters, filters, 2 * filters, 4 * filters, deep]):
            encoder += [halve(inputs, outputs), nn.BatchNorm2d(outputs), encoder_activation()]

        if middle == "fully_connected":  # on 4 x 4 features a 4 x 4 convolution is just that
            between = [
                nn.Conv2d(deep, bottleneck, 4, bias=False),
                nn.BatchNorm2d(bottleneck),
                encoder_activation(),
                nn.ConvTranspose2d(bottleneck, deep, 4, bias=False),
            ]
        elif middle == "channel_wise":
            between = [ChannelWise(deep, 4), nn.Conv2d(deep, deep, 1, bias=False)]
        else:
            raise UserError(f"The generator's middle is {middle!r}: it must be 'fully_connected' or 'channel_wise'.")
        between += [nn.BatchNorm2d(deep), decoder_activation()]

        decoder: list[nn.Module] = []
        for inputs, outputs in pairwise([deep, 4 * filters, 2 * filters, filters]):
            decoder += [double(inputs, outputs), nn.BatchNorm2d(outputs), decoder_activation()]
        decoder += [double(filters, 3), nn.Tanh()]

        self.encoder = nn.Sequential(*encoder)
        self.middle = nn.Sequential(*between)
        self.decoder = nn.Sequential(*decoder)
        self.apply(initialise)

    def forward(self, picture: Float[Tensor, "batch 3 128 128"]) -> Float[Tensor, "batch 3 64 64"]:
        """Both in [0, 1]; inside, the network works on [-1, 1]."""
        return (self.decoder(self.middle(self.encoder(2 * picture - 1))) + 1) / 2


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
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * filters, 1, 4, bias=False))
        self.apply(initialise)

    def forward(self, picture: Float[Tensor, "batch 3 64 64"]) -> Float[Tensor, " batch"]:
        """A picture in [0, 1] to its logit: above 0 where the discriminator takes it for real."""
        return self.layers(2 * picture - 1).flatten()


class ChannelWise(nn.Module):
    """A fully connected layer within each channel, none across them (Pathak et al., section 3.1)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        pixels = side * side
        self.weight = nn.Parameter(torch.empty(channels, pixels, pixels).normal_(std=pixels**-0.5))

    def forward(self, features: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch channels side side"]:
        return torch.einsum("bci,coi->bco", features.flatten(2), self.weight).view_as(features)


def initialise(layer: nn.Module) -> None:
    """DCGAN's start: convolutions N(0, 0.02), normalisation scales N(1, 0.02), shifts 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a trained content network: `generator.*` and `mean_colour`, from a checkpoint or .safetensors.

    Only tensors and plain values are read, so nothing in the file can name code to run.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a content network's checkpoint.")
    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict") if isinstance(state, dict) else None
    except Exception as error:  # a damaged or foreign file makes the unpickler raise almost anything
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {reason}") from None
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    if "mean_colour" not in state or not any(name.startswith("generator.") for name in state):
        raise UserError(f"{path} holds no content network: give a checkpoint written by model=content.")
    return state
