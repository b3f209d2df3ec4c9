"""Computes VGG's features phi only where the hole changes them: exactly, and at a fraction of the cost."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Picture
from inpaint.vgg import VGG


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
        picture: the hole filled with anything.
        hole: the pixels that may change.
        wanted: for each layer, the cells whose features are asked for.

    Attributes:
        whole: the features of the given picture itself, [channels, rows, columns], for each wanted layer.
    """

    def __init__(self, vgg: VGG, picture: Picture, hole: Box, wanted: Mapping[str, Box]) -> None:
        self.vgg, self.hole, self.wanted = vgg, hole, dict(wanted)
        self.steps = vgg.steps(list(wanted))

        sizes: list[tuple[int, int]] = [(picture.shape[-2], picture.shape[-1])]  # before each step, and after the last
        reached = [hole]
        for step in self.steps:
            height, width = sizes[-1]
            sizes.append((height // 2, width // 2) if step.pools else sizes[-1])
            reached.append(reached[-1].pooled(sizes[-1]) if step.pools else reached[-1].grown(1, sizes[-1]))

        needed: Box | None = None  # of what a step gives
        self.computed: list[Box] = [hole] * len(sizes)  # what is computed anew before each step, and after the last
        for i, step in reversed([*enumerate(self.steps)]):
            if step.name in wanted:
                needed = wanted[step.name].union(needed)
            assert needed is not None
            out = self.computed[i + 1] = reached[i + 1].intersection(needed)
            needed = out.unpooled() if step.pools else out.grown(1, sizes[i])

        # what each step looks at, around what is computed anew: at the picture's border convolutions see padding
        self.frames: list[Box] = []
        self.surroundings: list[Tensor] = []
        self.whole: dict[str, Tensor] = {}
        with torch.no_grad():
            h = vgg.normalise(picture[None])
            for step, out in zip(self.steps, self.computed[1:], strict=True):
                if step.pools:
                    frame = at = out.unpooled()
                else:
                    frame = Box(out.left - 1, out.top - 1, out.right + 1, out.bottom + 1)
                    h, at = F.pad(h, (1, 1, 1, 1)), frame.moved(1, 1)  # the same, in padded coordinates
                self.frames.append(frame)
                self.surroundings.append(at.of(h).clone(memory_format=torch.channels_last))
                h = step(h)
                if step.name in wanted:
                    self.whole[step.name] = h[0]
        self._kept = {name: box.of(self.whole[name])[None] for name, box in self.wanted.items()}

    def __call__(self, pixels: Float[Tensor, "3 hole_height hole_width"]) -> dict[str, Float[Tensor, "_ _ _"]]:
        """For each layer, the features of its wanted cells, given the pixels of the hole's box; differentiable."""
        h, features = self.vgg.normalise(pixels[None]), {}
        for step, have, out, frame, around in zip(
            self.steps, self.computed[:-1], self.computed[1:], self.frames, self.surroundings, strict=True
        ):
            h = step(self._surrounded(h, have.within(frame), around))
            if step.name in self.wanted:
                wanted = self.wanted[step.name]
                shared = out.intersection(wanted)
                part = shared.within(out).of(h)
                features[step.name] = self._surrounded(part, shared.within(wanted), self._kept[step.name])[0]
        return features

    @staticmethod
    def _surrounded(inner: Tensor, at: Box, surroundings: Tensor) -> Tensor:
        """`inner` at its place in the surroundings; it may stick out of what the next step looks at."""
        height, width = surroundings.shape[-2:]
        everything = Box(0, 0, width, height)
        if at == everything:
            return inner
        inside = at.intersection(everything)
        return _Paste.apply(inside.within(at).of(inner), surroundings, inside)
