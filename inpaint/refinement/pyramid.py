"""The refinement of equation 1, scale by scale: 128, 256, 512 for a picture of 512 pixels and three scales."""

import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from kornia.filters import gaussian_blur2d
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.smooth import seamless
from inpaint.refinement.energy import Energies
from inpaint.refinement.matching import finer
from inpaint.refinement.scale import Progress, Report, Scale, _part, refine_scale
from inpaint.refinement.settings import Settings
from inpaint.vgg import VGG

SMALLEST = 32  # pixels: a picture this small still has 4 x 4 cells at relu4_1
Callback = Callable[[int, Report, Float[Tensor, "batch 3 height width"]], None]


def refine(
    picture: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
    prediction: Float[Tensor, "batch 3 any_height any_width"],
    vgg: VGG,
    settings: Settings | None = None,
    callback: Callback | None = None,
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "batch 3 height width"], list[Report]]:
    """Refines the prediction in the hole, from the coarsest scale to the picture's own.

    Only the hole's surroundings are looked at (`surroundings`), so time and memory grow with the hole, not with the
    picture. At the end the hole's border is made seamless.

    Args:
        picture: in [0, 1]; what stands in the hole is not looked at.
        mask: 1 in the hole.
        prediction: the content network's result for the whole picture, at any size: x_i of the first scale. Each later
            scale's x_i is the result of the one before, upsampled.
        callback: called after each scale with its number, its report and its result (of the surroundings); on a CPU
            for each picture in turn.
        progress: called after each round with the share of the work that is done, in (0, 1].

    Returns:
        The filled picture (outside the hole the given one, bit by bit) and one report a scale.

    Raises:
        UserError: a value is not finite; the picture is too small for that many scales; the mask is empty, or leaves no
            patch to learn from.
    """
    settings = settings or Settings()
    height, width = picture.shape[-2:]
    if len(picture) > 1 and picture.device.type == "cpu":  # a batch gains nothing there, so none shares rounding errors
        shares = [_part(progress, i / len(picture), 1 / len(picture)) for i in range(len(picture))]
        return _merged(
            [
                refine(picture[i : i + 1], mask[i : i + 1], prediction[i : i + 1], vgg, settings, callback, share)
                for i, share in enumerate(shares)
            ]
        )
    box = surroundings(mask, settings.scales)
    if box.size != (height, width):
        prediction = resize(prediction, (height, width))
        part, reports = refine(box.of(picture), box.of(mask), box.of(prediction), vgg, settings, callback, progress)
        filled = picture.clone()
        box.of(filled).copy_(part)
        return filled, reports

    coarsest = min(height, width) >> (settings.scales - 1)
    if coarsest < SMALLEST:
        raise UserError(
            f"A picture of {width} x {height} pixels is too small for {settings.scales} scales: "
            f"the coarsest would have {coarsest} pixels, and {SMALLEST} are needed."
        )
    for name, values in (("picture", picture), ("prediction", prediction), ("mask", mask)):
        if not values.isfinite().all():
            raise UserError(f"The {name} holds values that are not finite (NaN or infinity).")

    current, reports = prediction, []
    costs = [4.0**number for number in range(settings.scales)]  # about in proportion to the seconds
    matches: dict[str, list[Tensor]] = {}
    for level in reversed(range(settings.scales)):
        began = time.perf_counter()
        size = (height >> level, width >> level)
        known, hole = resize_masked(picture, mask, size) if level else (picture, mask)
        start = resize(current, size).clamp(0, 1)
        if settings.smooth and not reports:
            sigma, reach = settings.smooth, math.ceil(min(3 * settings.smooth, max(size)))
            start = gaussian_blur2d(composite(known, start, hole), 2 * reach + 1, (sigma, sigma), "replicate")
        scale = Scale(vgg, known, hole, seamless(known, start, hole), settings, matches)
        done, share = sum(costs[: len(reports)]) / sum(costs), costs[len(reports)] / sum(costs)
        current, report = refine_scale(scale, settings, _part(progress, done, share))
        matches = {layer: [finer(m) for m in maps] for layer, maps in scale.matches.items()}
        reports.append(Report(size, *report, settings.rounds * settings.iterations, time.perf_counter() - began))
        if callback is not None:
            callback(len(reports) - 1, reports[-1], current)
    return seamless(picture, current, mask), reports


def _merged(alone: list[tuple[Tensor, list[Report]]]) -> tuple[Tensor, list[Report]]:
    """Pictures that were refined one after the other, as a batch."""
    reports = [
        Report(
            scale[0].size,
            Energies(*map(torch.cat, zip(*(r.before for r in scale), strict=True))),
            Energies(*map(torch.cat, zip(*(r.after for r in scale), strict=True))),
            scale[0].iterations,
            sum(r.seconds for r in scale),
        )
        for scale in zip(*(reports for _, reports in alone), strict=True)
    ]
    return torch.cat([picture for picture, _ in alone]), reports


def surroundings(mask: Float[Tensor, "batch 1 height width"], scales: int) -> Box:
    """What there is to learn from: the holes' bounding box and two thirds of its longer side more on each side.

    At least a square whose coarsest scale has 128 pixels, as far as the picture goes.
    """
    height, width = mask.shape[-2:]
    hole = Box.around(mask)
    side = max(math.ceil(max(hole.size) * 7 / 3), 128 << (scales - 1))
    side += -side % (8 << (scales - 1))  # every scale a whole number of relu4_1's cells

    def placed(low: int, high: int, length: int) -> tuple[int, int]:
        start = min(max((low + high - side) // 2, 0), max(length - side, 0))
        return start, min(start + side, length)

    (top, bottom), (left, right) = placed(hole.top, hole.bottom, height), placed(hole.left, hole.right, width)
    return Box(top, left, bottom, right)
