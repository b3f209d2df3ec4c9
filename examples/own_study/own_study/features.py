"""Features of one's own for the refinement: any module that gives named maps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Oriented(nn.Module):
    """Edges at several angles, and colours: no training, no weights.

    Attributes:
        name: stands in the tables of results.
        strides: for each map the pixels that a cell of it is wide.
        weight_files: the files whose hashes are recorded with a run; here none.
    """

    kernels: Tensor
    name = "oriented edges"
    strides: Mapping[str, int] = {"fine": 4, "coarse": 8}
    weight_files: Mapping[str, Path] = {}

    def __init__(self, angles: int) -> None:
        super().__init__()
        ramp = torch.linspace(-2, 2, 5)
        bell = torch.exp(-(ramp[:, None].square() + ramp.square()) / 2)
        kernels = []
        for number in range(angles):
            angle = math.pi * number / angles
            kernels.append(bell * (ramp[:, None] * math.sin(angle) + ramp * math.cos(angle)))
        self.register_buffer("kernels", torch.stack(kernels)[:, None], persistent=False)

    def on(self, device: torch.device | str, precision: str = "auto") -> Self:
        """Moved to the device; always in float32."""
        return self.to(device)

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"], layers: Sequence[str]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """The maps of these names, [batch, channels, height // stride, width // stride]."""
        grey = picture.mean(1, keepdim=True)
        edges = F.conv2d(F.pad(grey, (2, 2, 2, 2), mode="replicate"), self.kernels)
        both = torch.cat([edges.relu(), (-edges).relu(), 0.5 * picture], 1)
        return {layer: F.avg_pool2d(both, self.strides[layer]) for layer in layers}
