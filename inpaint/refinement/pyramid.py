"""The refinement of equation 1, scale by scale: 128, 256, 512 for a picture of 512 pixels and three scales."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from kornia.filters import gaussian_blur2d
from torch import Tensor

from inpaint.errors import UserError
from inpaint.images import composite, resize, resize_masked, seamless
from inpaint.refinement import energy
from inpaint.refinement.features import Box, HoleFeatures
from inpaint.refinement.optimise import LBFGS
from inpaint.refinement.patches import (
    Bank,
    Colours,
    Rule,
    Target,
    finer,
    geometry,
    make_bank,
    nearby,
    nearest,
    stack,
    target,
)
from inpaint.vgg import VGG

FEW_PAIRS = 2**24  # of queries and candidates: so few are all looked at in less time than an iteration takes
SMALLEST = 32  # pixels: a picture this small still has 4 x 4 cells at relu4_1


@dataclass(frozen=True)
class Settings:
    """Everything that decides what the refinement does.

    Attributes:
        alpha: weight of the texture energy (measured in the candidates' mean squared patch norm).
        beta: weight of the TV energy.
        layers: where texture is matched.
        rule: what "nearest" means: "ncc" or "l2" (equation 4).
        colour: how much the cells' mean colours weigh beside their features in what is nearest; the paper has none.
        smooth: standard deviation, in pixels of the first scale, of a Gaussian that takes the content network's grid
            out of its prediction (matched, it would become lattices); the paper has none.
        content_layer: None compares pixels with the prediction (equation 2); a layer's name compares its features, in
            units of their mean square (the authors' code).
        scales: how many, each half the next; the last is the picture's own size.
        rounds: how often, at each scale, matches are found anew.
        iterations: L-BFGS iterations in each round.
        content_weight: weight of the content energy; 0 leaves it out (figure 5).
    """

    alpha: float = 0.2
    beta: float = 1e-3
    layers: tuple[str, ...] = ("relu3_1", "relu4_1")
    rule: Rule = "ncc"
    colour: float = 0.3
    smooth: float = 2.0
    content_layer: str | None = None
    scales: int = 3
    rounds: int = 3
    iterations: int = 10
    content_weight: float = 1.0

    def __post_init__(self) -> None:
        weights = {"alpha": 0, "beta": 0, "content_weight": 0, "colour": 0, "smooth": 0}
        leasts = weights | {"scales": 1, "rounds": 1, "iterations": 1}
        for name, least in leasts.items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name} is {getattr(self, name)}, but has to be at least {least}.")
        if self.rule not in ("ncc", "l2"):
            raise UserError(f"There is no matching rule {self.rule!r}: choose ncc or l2.")
        if not self.layers:
            raise UserError("layers is empty: name at least one layer to match texture in, such as relu4_1.")
        object.__setattr__(self, "layers", tuple(self.layers))


class Energies(NamedTuple):
    """The terms of equation 1, unweighted, one value a picture."""

    content: Float[Tensor, " batch"]
    texture: Float[Tensor, " batch"]
    tv: Float[Tensor, " batch"]

    def total(self, settings: Settings) -> Float[Tensor, " batch"]:
        return settings.content_weight * self.content + settings.alpha * self.texture + settings.beta * self.tv


@dataclass
class Report:
    """What happened at one scale."""

    size: tuple[int, int]
    before: Energies
    after: Energies
    iterations: int
    seconds: float


class Scale:
    """One scale: the energy as a function of the pixels in the hole's box, and the matches that it holds fixed.

    Args:
        known: the picture at this scale, anything in the hole.
        mask: 1 in the hole; pictures of a batch may have different holes.
        start: what the hole is filled with at first, and x_i of the content term; its features and those of the
            known pixels around are where candidates come from.
        matches: for each layer and picture, what each cell was matched to at the scale before, in cells of this one
            (`finer`); without them every candidate is looked at, at least once.

    Raises:
        UserError: the hole leaves no candidate patch.
    """

    def __init__(
        self,
        vgg: VGG,
        known: Float[Tensor, "batch 3 height width"],
        mask: Float[Tensor, "batch 1 height width"],
        start: Float[Tensor, "batch 3 height width"],
        settings: Settings,
        matches: Mapping[str, list[Int[Tensor, "rows columns"]]] | None = None,
    ) -> None:
        self.settings = settings
        self.start = composite(known, start, mask)
        self.hole = Box.around(mask)
        rim = self.hole.grown(1, mask.shape[-2:])  # TV looks one pixel beyond the hole
        self.rim = rim
        self.mask = rim.of(mask)
        self.content_target = rim.of(self.start)  # x_i, when pixels are compared
        self.box_in_rim = self.hole.within(rim)

        self.geometry = {
            layer: [geometry(m, vgg.strides[layer]) for m in mask] for layer in settings.layers if layer in vgg.strides
        }
        wanted = {}
        for layer in dict.fromkeys((*settings.layers, settings.content_layer)):
            if layer is not None:
                stride = vgg.strides.get(layer, 1)
                size = (mask.shape[-2] // stride, mask.shape[-1] // stride)
                wanted[layer] = self.hole.pooled(size, stride).grown(1, size)
        self.features = HoleFeatures(vgg, self.start, self.hole, wanted)
        self.colours: dict[str, Colours] = {}
        self.keys: dict[str, list[Bank]] = {}  # what queries are compared with: features and colours
        self.banks: dict[str, list[Bank]] = {}  # what they then want: features
        for layer, found in self.geometry.items():
            whole = self.features.whole[layer]
            self.colours[layer] = Colours.beside(whole, self.start, vgg.strides[layer], settings.colour)
            compared = torch.cat([whole, self.colours[layer].of(self.start)], 1)
            self.keys[layer] = [make_bank(f, g.candidates) for f, g in zip(compared, found, strict=True)]
            self.banks[layer] = [make_bank(keys.features[:-3], keys.candidates) for keys in self.keys[layer]]
        if settings.content_layer is not None:
            box = wanted[settings.content_layer]
            self.content_mask = torch.nn.functional.max_pool2d(mask, vgg.strides[settings.content_layer])
            self.content_mask = box.of(self.content_mask)
            self.content_features = box.of(self.features.whole[settings.content_layer]).float()
            # in units of the features themselves, as texture is, so that alpha means the same for every backbone
            self.content_unit = self.content_features.pow(2).mean((1, 2, 3))
        self.targets: dict[str, Target] = {}
        self.matches = dict(matches or {})

    @property
    def pixels(self) -> Float[Tensor, "batch 3 hole_height hole_width"]:
        """The start, in the hole's box."""
        return self.hole.of(self.start)

    def picture(self, pixels: Float[Tensor, "batch 3 hole_height hole_width"]) -> Float[Tensor, "batch 3 height width"]:
        """The whole picture with these pixels in its hole."""
        out = self.start.clone()
        self.hole.of(out).copy_(self._in_hole(pixels))
        return out

    def _in_hole(self, pixels: Tensor) -> Tensor:
        """Only the hole's own pixels change, not those of its box around it."""
        return composite(self.pixels, pixels, self.box_in_rim.of(self.mask))

    @torch.no_grad()
    def match(self, pixels: Float[Tensor, "batch 3 hole_height hole_width"]) -> None:
        """Finds nn(i) for the picture as it is now (equation 4); among many, near earlier matches if there are any."""
        phi, picture = self.features(self._in_hole(pixels)), self.picture(pixels)
        for layer, found in self.geometry.items():
            box = self.features.wanted[layer]
            asking = torch.cat([phi[layer], box.of(self.colours[layer].of(picture))], 1)
            aims, matches = [], []
            guesses: list[Tensor | None] = [*self.matches.get(layer, [None] * len(found))]
            banks = zip(self.keys[layer], self.banks[layer], strict=True)
            for features, where, (keys, bank), guess in zip(asking, found, banks, guesses, strict=True):
                if guess is None or where.pairs <= FEW_PAIRS:
                    query, candidate = nearest(features, box, where.queries, keys, self.settings.rule)
                else:
                    query = where.queries.flatten().nonzero().flatten()
                    candidate = nearby(features, box, query, guess, keys, self.settings.rule)
                aims.append(target(query, candidate, box, bank))
                match = torch.full_like(where.queries, -1, dtype=torch.long)
                match.view(-1)[query] = candidate
                matches.append(match)
            self.targets[layer] = stack(aims)
            self.matches[layer] = matches

    def energies(self, pixels: Float[Tensor, "batch 3 hole_height hole_width"]) -> Energies:
        """The three terms of equation 1, differentiable, with the matches of the last `match`."""
        pixels = self._in_hole(pixels)
        phi = self.features(pixels)
        around = self.rim.of(self.start).clone()
        self.box_in_rim.of(around).copy_(pixels)
        if self.settings.content_layer is None:
            content = energy.content(around, self.content_target, self.mask)
        else:
            features = phi[self.settings.content_layer].float()
            content = energy.content(features, self.content_features, self.content_mask) / self.content_unit
        return Energies(content, energy.texture(phi, self.targets), energy.tv(around, self.mask))


Callback = Callable[[int, Report, Float[Tensor, "batch 3 height width"]], None]
Progress = Callable[[float], None]


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


def _part(progress: Progress | None, done: float, share: float) -> Progress:
    """The progress of a part, which is that share of the whole, when so much of the whole was done before it."""
    return lambda part: progress(done + share * part) if progress is not None else None


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


def refine_scale(
    scale: Scale, settings: Settings, progress: Progress | None = None
) -> tuple[Float[Tensor, "batch 3 height width"], tuple[Energies, Energies]]:
    """argmin_x of equation 1 at one scale; the picture, and the energies before and after."""
    shape = scale.pixels.shape
    optimiser = LBFGS(scale.pixels.flatten(1))

    def total(flat: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = flat.detach().requires_grad_()
            e = scale.energies(x.view(shape)).total(settings)
            (gradient,) = torch.autograd.grad(e.sum(), x)
        return e.detach(), gradient

    before = None
    for number in range(settings.rounds):
        scale.match(optimiser.x.view(shape))
        if before is None:
            with torch.no_grad():
                before = scale.energies(scale.pixels)
        optimiser.minimise(total, settings.iterations)
        if progress is not None:
            progress((number + 1) / settings.rounds)
    assert before is not None
    pixels = optimiser.x.view(shape).clamp(0, 1)
    with torch.no_grad():
        after = scale.energies(pixels)
    return scale.picture(pixels), (before, after)
