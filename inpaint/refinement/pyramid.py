"""Refines the hole at each scale in turn, coarse to fine: 128, 256 and 512 pixels, for example."""

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.pixels import Mask, Picture, composite, resize, resize_masked
from inpaint.imaging.smooth import seamless
from inpaint.precision import exact_convolutions
from inpaint.refinement.detail import Level, detailed
from inpaint.refinement.energy import Energies
from inpaint.refinement.features import Features
from inpaint.refinement.matching import finer
from inpaint.refinement.scale import Matches, OnProgress, Scale, ScaleReport, refine_scale
from inpaint.refinement.settings import Settings
from inpaint.refinement.voting import vote

VOTING_SHARE = 0.4  # of a scale's seconds, about, where both patches vote and the gradient descends
SMALLEST = 32  # pixels: a picture this small still has 4 x 4 cells at relu4_1

OnScale = Callable[[int, ScaleReport, Picture], None]


@exact_convolutions()
def refine(
    picture: Picture,
    mask: Mask,
    prediction: Float[Tensor, "3 any_height any_width"],
    features: Features,
    settings: Settings,
    on_scale: OnScale | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Picture, list[ScaleReport]]:
    """Refines the prediction in the hole, from the coarsest scale to the picture's own.

    Args:
        picture: what stands in the hole is not looked at.
        features: VGG, see `inpaint.vgg.load_vgg`, or others.
        prediction: the first stage's result for the whole picture, at any size: x_i of the first scale. A later
            scale's x_i is the result before it, enlarged, with `detail` if set; where patches vote, their result.
        settings: with a number of scales.
        on_scale: called after each scale with its number, its report and its result.
        on_progress: called after each step with the share of the work that is done, in (0, 1].

    Returns:
        The filled picture (outside the hole the given one, bit by bit) and one report a scale.

    Raises:
        UserError: a value is not finite; the picture is too small for that many scales; the mask is empty, or leaves no
            patch to learn from; the features do not give what the settings name; a term of the energy is no finite
            number.
    """
    assert settings.scales is not None
    height, width = picture.shape[-2:]
    coarsest = min(height, width) >> (settings.scales - 1)
    if coarsest < SMALLEST:
        raise UserError(
            f"A picture of {width} x {height} pixels is too small for {settings.scales} scales: "
            f"the coarsest would have {coarsest} pixels, and {SMALLEST} are needed."
        )
    for name, values in (("picture", picture), ("prediction", prediction), ("mask", mask)):
        if not values.isfinite().all():
            raise UserError(f"The {name} holds values that are not finite (NaN or infinity).")

    def blended(known: Tensor, filled: Tensor, hole: Tensor) -> Tensor:
        return seamless(known, filled, hole) if settings.blend_border else composite(known, filled, hole)

    current, reports = prediction, []
    before: Energies | None
    after: Energies | None
    # about in proportion to the seconds
    costs = [2.0**number * (1 if settings.iterations_at(number) else 0.25) for number in range(settings.scales)]
    matches: Matches = {}
    last: Level | None = None
    for number in range(settings.scales):
        began = time.perf_counter()
        level = settings.scales - 1 - number
        size = (height >> level, width >> level)
        votes, iterations = settings.votes_at(number), settings.iterations_at(number)
        known, hole = resize_masked(picture, mask, size) if level else (picture, mask)
        if last is not None and matches and settings.detail and not votes:
            last = last._replace(filled=blended(last.known, last.filled, last.mask))
            layer = min(matches, key=lambda name: features.strides[name])
            whole = settings.gradient_scales == 0  # no gradient has mended what averages have blurred
            start, moved = detailed(known, hole, last, matches[layer], features.strides[layer], whole)
            matches = {**matches, layer: moved}
        else:
            start = resize(current, size).clamp(0, 1)
        if settings.smooth and number == 0:
            start = blurred(composite(known, start, hole), settings.smooth)
        share = part_of(on_progress, sum(costs[:number]) / sum(costs), costs[number] / sum(costs))
        current, before, after = start, None, None
        if votes or iterations:
            scale = Scale(features, known, hole, blended(known, start, hole), settings, matches)
            if votes:
                part = VOTING_SHARE if iterations else 1.0
                wanted = blended(known, resize(prediction, size).clamp(0, 1), hole)
                vote(scale, wanted, votes, number, part_of(share, 0.0, part))
                share = part_of(share, part, 1 - part)
                current = scale.start
            if iterations:
                current, (before, after) = refine_scale(scale, share)
            matches = scale.matches
        else:
            cells = {
                layer: (size[0] // features.strides[layer], size[1] // features.strides[layer]) for layer in matches
            }
            matches = {layer: finer(match, cells[layer]) for layer, match in matches.items()}
        last = Level(known, hole, current)
        if not iterations:
            share(1.0)
        reports.append(ScaleReport(size, before, after, iterations, time.perf_counter() - began))
        if on_scale is not None:
            on_scale(number, reports[-1], current)
    return blended(picture, current, mask), reports


def blurred(picture: Picture, sigma: float) -> Picture:
    """The picture under a Gaussian of that standard deviation, in pixels; beyond its border its outermost pixels go on.

    Kornia has such a blur, but importing it takes a tenth of the time that a fill takes to start.
    """
    reach = math.ceil(min(3 * sigma, max(picture.shape[-2:])))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-((offsets / sigma) ** 2) / 2)
    channels = len(picture)
    kernel = (weights / weights.sum()).to(picture).expand(channels, 1, 1, -1)
    along_rows = F.conv2d(F.pad(picture[None], (reach, reach, 0, 0), "replicate"), kernel, groups=channels)
    return F.conv2d(F.pad(along_rows, (0, 0, reach, reach), "replicate"), kernel.mT, groups=channels)[0]


def part_of(on_progress: OnProgress | None, done: float, share: float) -> OnProgress:
    """A callback for one part of the work: maps its progress to `done` + `share` times it, for `on_progress`."""
    return lambda part: on_progress(done + share * part) if on_progress is not None else None
