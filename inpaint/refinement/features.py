"""phi of the part of a picture that a hole can change, at a fraction of the whole picture's cost."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from inpaint.imaging.box import Box
from inpaint.vgg import VGG, convolve


class _Paste(torch.autograd.Function):
    """`inner` laid over `surroundings` at a box; the gradient of that box goes back."""

    @staticmethod
    def forward(ctx: FunctionCtx, inner: Tensor, surroundings: Tensor, box: Box) -> Tensor:
        ctx.box = box  # type: ignore[attr-defined]
        out = surroundings.clone(memory_format=torch.channels_last)
        box.of(out).copy_(inner)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.box.of(grads[0]), None, None


class HoleFeatures:
    """phi near a hole, for pictures that differ from a given one only in the hole: exact, at a fraction of the cost.

    A pixel of the hole reaches, convolution by convolution, one cell further; what it does not reach stays as it is and
    is computed once. Of what it reaches, only what the wanted cells depend on is computed anew. Both limits are boxes,
    and each step computes their intersection, surrounded by what is kept.

    Args:
        vgg: the network.
        picture: [batch, 3, height, width], the hole filled with anything.
        hole: the pixels that may change.
        wanted: for each layer, the cells whose features are asked for.

    Attributes:
        whole: the features of the given picture itself, whole maps, for each wanted layer.
    """

    def __init__(
        self,
        vgg: VGG,
        picture: Float[Tensor, "batch 3 height width"],
        hole: Box,
        wanted: Mapping[str, Box],
    ) -> None:
        self.vgg, self.hole, self.wanted = vgg, hole, dict(wanted)
        self.steps = vgg.steps(list(wanted))

        sizes: list[tuple[int, int]] = [(picture.shape[-2], picture.shape[-1])]  # before each step, and after the last
        reached = [hole]
        for step in self.steps:
            height, width = sizes[-1]
            if step.weight is None:
                sizes.append((height // 2, width // 2))
                reached.append(reached[-1].pooled(sizes[-1]))
            else:
                sizes.append(sizes[-1])
                reached.append(reached[-1].grown(1, sizes[-1]))

        # computed[i]: what is computed anew of the input of step i; inputs[i]: what step i looks at
        needed: Box | None = None
        self.computed: list[Box] = [hole] * len(sizes)
        self.inputs: list[Box] = [hole] * len(self.steps)
        for i in reversed(range(len(self.steps))):
            step = self.steps[i]
            if step.name in wanted:
                needed = wanted[step.name].union(needed)
            assert needed is not None
            self.computed[i + 1] = reached[i + 1].intersection(needed)
            if step.weight is None:
                self.inputs[i] = self.computed[i + 1].unpooled()
            else:
                self.inputs[i] = self.computed[i + 1].grown(1, sizes[i])
            needed = self.inputs[i]

        self.surroundings: list[Tensor] = []  # of the input of each step; convolutions' padded at the picture's border
        self.borders: list[tuple[int, int]] = []
        self.whole: dict[str, Tensor] = {}
        with torch.no_grad():
            h = vgg.normalise(picture)
            for i, step in enumerate(self.steps):
                if step.weight is None:
                    self.surroundings.append(self.inputs[i].of(h).clone(memory_format=torch.channels_last))
                    self.borders.append((0, 0))
                    h = F.max_pool2d(h, 2)
                else:
                    h = F.pad(h, (1, 1, 1, 1))
                    out = self.computed[i + 1]
                    seen = Box(out.top, out.left, out.bottom + 2, out.right + 2)  # in padded coordinates
                    self.surroundings.append(seen.of(h).clone(memory_format=torch.channels_last))
                    self.borders.append((out.top - 1, out.left - 1))
                    h = convolve(h, step)
                if step.name in wanted:
                    self.whole[step.name] = h
        self._kept = {name: box.of(self.whole[name]) for name, box in self.wanted.items()}

    def __call__(self, pixels: Float[Tensor, "batch 3 hole_height hole_width"]) -> dict[str, Tensor]:
        """For each layer, the features of its wanted cells, given the pixels of the hole's box; differentiable."""
        h, features = self.vgg.normalise(pixels), {}
        for i, step in enumerate(self.steps):
            have = self.computed[i]
            if step.weight is None:
                h = self._surrounded(h, have.within(self.inputs[i]), self.surroundings[i])
                h = F.max_pool2d(h, 2)
            else:
                top, left = self.borders[i]
                at = Box(have.top - top, have.left - left, have.bottom - top, have.right - left)
                h = convolve(self._surrounded(h, at, self.surroundings[i]), step)
            if step.name in self.wanted:
                wanted, have = self.wanted[step.name], self.computed[i + 1]
                shared = have.intersection(wanted)
                features[step.name] = self._surrounded(
                    shared.within(have).of(h), shared.within(wanted), self._kept[step.name]
                )
        return features

    @staticmethod
    def _surrounded(inner: Tensor, at: Box, surroundings: Tensor) -> Tensor:
        if at == (0, 0, *surroundings.shape[-2:]):
            return inner
        # a computed box may stick out of what the next step looks at
        inside = at.intersection(Box(0, 0, *surroundings.shape[-2:]))
        return _Paste.apply(inside.within(at).of(inner), surroundings, inside)
