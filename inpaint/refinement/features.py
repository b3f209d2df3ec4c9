"""The features phi that patches are matched by: what gives them, and how they are computed near a hole.

VGG's are computed only where the hole changes them: exactly, and at a fraction of the cost. Those of any other module
are computed anew for the whole picture, again and again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Picture
from inpaint.vgg import Step

LARGEST_STRIDE = 32  # pixels: the smallest picture that is refined still is one cell


class Features(Protocol):
    """A fixed, differentiable function of a picture, which gives named maps of features: VGG, or a module of one's own.

    Example:
        >>> class Pooled(nn.Module):
        ...     name, strides, weight_files = "pooled colours", {"fine": 4, "coarse": 8}, {}
        ...     def on(self, device, precision="auto"):
        ...         return self.to(device)
        ...     def forward(self, picture, layers):
        ...         return {layer: F.avg_pool2d(picture, self.strides[layer]) for layer in layers}

    Strides need be no powers of two, and need not divide a picture: what is left of it at its right and lower border
    has no features, and stays as its hole was filled before.
    """

    @property
    def name(self) -> str:
        """For tables, such as "VGG-16"."""

    @property
    def strides(self) -> Mapping[str, int]:
        """For each layer the pixels that a cell of its map is wide and high, a whole number up to 32."""

    @property
    def weight_files(self) -> Mapping[str, Path]:
        """The files that the weights come from, by name, of which a run records the hashes."""

    def on(self, device: torch.device | str, precision: str = "auto") -> Self:
        """The same on a device, computed in "float32", "bfloat16" or "auto" (what is fast there), as far as it can."""

    def __call__(
        self, picture: Float[Tensor, "batch 3 height width"], layers: Sequence[str]
    ) -> Mapping[str, Float[Tensor, "batch _ _ _"]]:
        """The maps of these layers, [batch, channels, height // stride, width // stride], of a picture in [0, 1].

        Pictures have any size from 32 x 32 on, and may leave [0, 1] a little while they are optimised.
        """


@runtime_checkable
class Stepwise(Protocol):
    """Features that are a row of convolutions with a ReLU and of 2 x 2 max poolings, as VGG's are."""

    def steps(self, layers: Sequence[str]) -> list[Step]:
        """What to compute, in order, for these layers."""

    def normalise(self, picture: Float[Tensor, "batch 3 height width"]) -> Tensor:
        """What the first step takes."""


class NearHole(Protocol):
    """The features near a hole, of pictures that differ from a given one only in it.

    Attributes:
        whole: the features of the given picture itself, [channels, rows, columns], for each wanted layer.
        wanted: for each layer, the cells whose features are computed.
    """

    whole: dict[str, Tensor]
    wanted: dict[str, Box]

    def __call__(self, pixels: Float[Tensor, "3 hole_height hole_width"]) -> dict[str, Float[Tensor, "_ _ _"]]:
        """For each layer, the features of its wanted cells, given the pixels of the hole's box; differentiable."""


def check_features(features: Features, layers: Sequence[str]) -> None:
    """Refuses what does not give these layers.

    Raises:
        UserError: it lacks a part of `Features`, there is no such layer, or a stride is no whole number from 1 to 32.
    """
    parts = ("name", "strides", "weight_files", "on", "__call__")
    if missing := [part for part in parts if not hasattr(features, part)]:
        raise UserError(
            f"The features are of type {type(features).__name__}, which lacks {', '.join(missing)}: give a module as "
            "inpaint.refinement.features.Features describes it."
        )
    for layer in layers:
        if layer not in features.strides:
            raise UserError(
                f"There is no layer {layer!r} in the features of {features.name}: let the preset's layers, "
                f"voting_layer and content_layer be among {', '.join(features.strides)}."
            )
        stride = features.strides[layer]
        if not isinstance(stride, int) or not 1 <= stride <= LARGEST_STRIDE:
            raise UserError(
                f"The stride of layer {layer!r} in the features of {features.name} is {stride!r}, but has to be a "
                f"whole number from 1 to {LARGEST_STRIDE}."
            )


def near_hole(features: Features, picture: Picture, hole: Box, wanted: Mapping[str, Box]) -> NearHole:
    """The features near a hole, computed step by step where they can be, see `HoleFeatures` and `WholeFeatures`."""
    if isinstance(features, Stepwise):
        return HoleFeatures(features, picture, hole, wanted)
    return WholeFeatures(features, picture, hole, wanted)


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
    is computed once. Of what it reaches, only what the wanted cells depend on is computed anew. Both regions are
    boxes, and each step computes their intersection, padded with stored values.

    Args:
        picture: the hole filled with anything.
        hole: the pixels that may change.
        wanted: for each layer, the cells whose features are asked for.

    Attributes:
        whole: the features of the given picture itself, [channels, rows, columns], for each wanted layer.
    """

    def __init__(self, features: Stepwise, picture: Picture, hole: Box, wanted: Mapping[str, Box]) -> None:
        self.features, self.wanted = features, dict(wanted)
        self.steps = features.steps(list(wanted))

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
            h = features.normalise(picture[None])
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
        h, features = self.features.normalise(pixels[None]), {}
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


class WholeFeatures:
    """phi near a hole by a module that is taken as it is: the whole picture goes through it at each evaluation.

    As exact as `HoleFeatures`. But time and memory are those of the whole picture, however small the hole: for VGG-16
    to relu4_1, and a hole of 224 x 224 in 512 x 512, four times as much; for one of 64 x 64, 35 times.

    Args:
        picture, hole, wanted: as of `HoleFeatures`.

    Raises:
        UserError: a layer's map is missing or has another size than its stride says, or holds a value that is not
            finite.
    """

    def __init__(self, features: Features, picture: Picture, hole: Box, wanted: Mapping[str, Box]) -> None:
        self.features, self.picture, self.hole, self.wanted = features, picture[None], hole, dict(wanted)
        with torch.no_grad():
            found = features(self.picture, list(self.wanted))
        for layer in self.wanted:
            self._check(layer, found.get(layer))
        self.whole = {layer: found[layer][0] for layer in self.wanted}

    def __call__(self, pixels: Float[Tensor, "3 hole_height hole_width"]) -> dict[str, Float[Tensor, "_ _ _"]]:
        """For each layer, the features of its wanted cells, given the pixels of the hole's box; differentiable."""
        found = self.features(_Paste.apply(pixels[None], self.picture, self.hole), list(self.wanted))
        return {layer: box.of(found[layer][0]) for layer, box in self.wanted.items()}

    def _check(self, layer: str, found: Tensor | None) -> None:
        height, width = self.picture.shape[-2:]
        stride = self.features.strides[layer]
        rows, columns = height // stride, width // stride
        what = f"the features of {self.features.name} at layer {layer!r}"
        if found is None or found.ndim != 4 or found.shape[0] != 1 or found.shape[-2:] != (rows, columns):
            raise UserError(
                f"For a picture of {height} x {width} pixels (height x width), {what} are "
                f"{'missing' if found is None else list(found.shape)}: with a stride of {stride} they have to be "
                f"[1, channels, {rows}, {columns}], the picture's size divided by the stride and rounded down."
            )
        if not found.isfinite().all():
            raise UserError(f"Of this picture {what} are not finite (NaN or infinity).")
