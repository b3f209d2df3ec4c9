"""Runs stage 1 and stage 2 on one picture, in one function for the command, the evaluation and the studies."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.content.networks import SIDE
from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture, composite, resize
from inpaint.imaging.smooth import seamless
from inpaint.refinement.features import Features, check_features
from inpaint.refinement.matching import geometry
from inpaint.refinement.pyramid import SMALLEST, OnScale, refine
from inpaint.refinement.scale import OnProgress, ScaleReport
from inpaint.refinement.settings import Settings

SURROUNDINGS = 256  # pixels around a hole, at most, in which its texture is looked for

FirstStage = Callable[[Picture, Mask], Float[Tensor, "3 any_height any_width"]]
"""A picture (anything in its hole) and its mask to the whole picture, at any size, with its hole filled."""


@dataclass
class Filled:
    """What the two stages made of a picture."""

    prediction: Float[Tensor, "3 any_height any_width"]  # of the first stage, at the size that it works at
    start: Picture  # with its hole filled by the prediction, enlarged: what stage 2 starts from
    refined: Picture  # with its hole filled by both stages
    content_seconds: float  # that the first stage took
    scales: list[ScaleReport]  # from the coarsest on; none if the hole leaves no patch to learn from
    mask: Mask
    blend_border: bool  # whether the refined picture's border was made seamless

    @cached_property
    def content(self) -> Picture:
        """The picture with its hole filled by the first stage alone, for comparison: its border is treated likewise."""
        return seamless(self.start, self.start, self.mask) if self.blend_border else self.start


def inpaint(
    picture: Picture,
    mask: Mask,
    first_stage: FirstStage,
    features: Features,
    settings: Settings,
    *,
    hole: Box | None = None,
    real: Box | None = None,
    most_scales: int | None = None,
    on_scale: OnScale | None = None,
    on_progress: OnProgress | None = None,
) -> Filled:
    """The prediction of the first stage, and the refinement of it.

    Args:
        picture: what stands in the hole is not looked at.
        first_stage: stage 1, such as `inpaint.content.predict.predict` by a content network.
        features: VGG, see `inpaint.vgg.load_vgg`, or others.
        hole: the part of the mask that is to be refined, if other holes lie beside it.
        real: the part of the picture that texture may be taken from, if the rest is made up.
        most_scales: where the settings leave the number of scales open, at most so many, from the finest on.
        settings, on_scale, on_progress: of stage 2, see `refine`, which also says what it refuses.
    """
    check_features(features, settings.used_layers)
    height, width = picture.shape[-2:]
    began = time.perf_counter()
    with torch.no_grad():
        prediction = first_stage(picture, mask)
    content_seconds = time.perf_counter() - began
    start = composite(picture, resize(prediction, (height, width)), mask)

    scales = settings.scales or scales_of(max(height, width))
    if settings.scales is None and most_scales is not None:
        scales = min(scales, most_scales)
    box = surroundings(hole or Box.around(mask), (height, width), scales)
    box = box.intersection(real) if real else box
    if settings.scales is None:
        strides = [features.strides[layer] for layer in settings.matched_layers]
        scales = scales_to_learn_from(box.of(mask), strides, scales)
    if not scales:
        return Filled(prediction, start, start, content_seconds, [], mask, blend_border=False)
    settings = replace(settings, scales=scales)
    filled, reports = refine(box.of(picture), box.of(mask), box.of(start), features, settings, on_scale, on_progress)
    refined = start.clone()
    box.of(refined).copy_(filled)
    return Filled(prediction, start, refined, content_seconds, reports, mask, settings.blend_border)


def scales_of(side: int) -> int:
    """How many scales, each half the next, lead from about the content network's size to `side` pixels."""
    return max(1, round(math.log2(side / SIDE)) + 1)


def surroundings(hole: Box, size: tuple[int, int], scales: int) -> Box:
    """What there is to learn from: a square around the hole, as far as the picture goes.

    Beside the hole there are two thirds of its longer side on each side, or so much that the coarsest scale has the
    content network's size; but at most `SURROUNDINGS` pixels: large holes find their texture close by.
    """
    height, width = size
    longer = max(hole.size)
    side = min(max(-(-7 * longer // 3), SIDE << (scales - 1)), longer + 2 * SURROUNDINGS)
    side += -side % (8 << (scales - 1))  # every scale a whole number of relu4_1's cells

    def placed(low: int, high: int, length: int) -> tuple[int, int]:
        start = min(max((low + high - side) // 2, 0), max(length - side, 0))
        return start, min(start + side, length)

    (top, bottom), (left, right) = placed(hole.top, hole.bottom, height), placed(hole.left, hole.right, width)
    return Box(left, top, right, bottom)


def scales_to_learn_from(mask: Mask, strides: Sequence[int], scales: int) -> int:
    """How many of the scales, from the finest on, have the pixels and the clear patches that the refinement needs."""
    for level in range(scales):
        size = (mask.shape[-2] >> level, mask.shape[-1] >> level)
        if min(size) < SMALLEST:
            return level
        hole = F.adaptive_max_pool2d(mask, size) if level else mask
        try:
            for stride in strides:
                geometry(hole, stride)
        except UserError:
            return level
    return scales
