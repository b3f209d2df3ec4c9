"""Refines the hole at one scale: finds matches, states the energy that follows, and minimises it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture, composite
from inpaint.refinement import energy
from inpaint.refinement.energy import Energies, Target, target
from inpaint.refinement.features import Features, check_features, near_hole
from inpaint.refinement.matching import Bank, Colours, Cost, Indices, finer, geometry, make_bank, nearby, nearest
from inpaint.refinement.optimise import LBFGS
from inpaint.refinement.settings import Rule, Settings

FEW_PAIRS = 2**24  # up to so many pairs of query and candidate, comparing all takes less time than an iteration
MATCHING = 2  # evaluations of the energies that take about as long as finding matches

Pixels = Float[Tensor, "3 hole_height hole_width"]
Matches = Mapping[str, Int[Tensor, "rows columns"]]
OnProgress = Callable[[float], None]


@dataclass
class ScaleReport:
    """What happened at one scale."""

    size: tuple[int, int]  # height and width
    before: Energies | None  # at the start, with its first matches; None where nothing was optimised
    after: Energies | None  # at the end, with the last ones
    iterations: int  # of L-BFGS
    seconds: float


class Scale:
    """One scale: the energy as a function of the pixels in the hole's box, and the matches that it holds fixed.

    Args:
        known: the picture at this scale, anything in the hole.
        start: what the hole is filled with at first, and x_i of the content term; its features and those of the
            known pixels around are where candidates come from.
        matches: for each layer, the match of each cell of the scale before, which is half this one; without them
            the first search compares every candidate.

    Raises:
        UserError: the hole leaves no candidate patch; the features do not give what the settings name.
    """

    def __init__(
        self,
        features: Features,
        known: Picture,
        mask: Mask,
        start: Picture,
        settings: Settings,
        matches: Matches | None = None,
    ) -> None:
        check_features(features, settings.used_layers)
        self.strides = features.strides
        self.known, self.mask, self.settings = known, mask, settings
        self.hole = Box.around(mask)
        self.framed = self.hole.grown(1, mask.shape[-2:])  # total variation looks one pixel beyond the hole
        self.framed_mask = self.framed.of(mask)

        self.geometry = {layer: geometry(mask, self.strides[layer]) for layer in settings.matched_layers}
        wanted = {}
        for layer in settings.used_layers:
            stride = self.strides[layer]
            size = (mask.shape[-2] // stride, mask.shape[-1] // stride)
            wanted[layer] = self.hole.pooled(size, stride).grown(1, size)
        self.features = near_hole(features, composite(known, start, mask), self.hole, wanted)
        self.start_from(start)
        self.colours: dict[str, Colours] = {}
        self.keys: dict[str, Bank] = {}  # what queries are compared with: features and colours
        self.banks: dict[str, Bank] = {}  # what they then want: features
        for layer, patches in self.geometry.items():
            whole = self.features.whole[layer]
            self.colours[layer] = Colours.beside(whole, self.start, self.strides[layer], settings.colour)
            with_colours = torch.cat([whole, self.colours[layer].of(self.start)])
            self.keys[layer] = make_bank(with_colours, patches.candidates)
            self.banks[layer] = make_bank(self.keys[layer].features[:-3], patches.candidates)
        if settings.content_layer is None:
            self.content_mask = self.framed_mask
        else:
            self.content_mask = wanted[settings.content_layer].of(
                F.max_pool2d(mask, self.strides[settings.content_layer])
            )
        self.targets: dict[str, Target] = {}
        self.matches = {
            layer: finer(match, self.geometry[layer].queries.shape) for layer, match in (matches or {}).items()
        }

    @torch.no_grad()
    def start_from(self, start: Picture) -> None:
        """Fills the hole anew: from here the pixels start, and this is x_i."""
        self.start = composite(self.known, start, self.mask)
        if (layer := self.settings.content_layer) is None:
            self.content_target = self.framed.of(self.start)
        else:
            self.content_target = self.features(self.pixels)[layer].float()

    @property
    def pixels(self) -> Pixels:
        """The start, in the hole's box."""
        return self.hole.of(self.start)

    def picture(self, pixels: Pixels) -> Picture:
        """The whole picture with these pixels in its hole."""
        out = self.start.clone()
        self.hole.of(out).copy_(self._in_hole(pixels))
        return out

    def _in_hole(self, pixels: Tensor) -> Tensor:
        """Only the hole's own pixels change, not those of its box around it."""
        return composite(self.pixels, pixels, self.hole.within(self.framed).of(self.framed_mask))

    @torch.no_grad()
    def match(self, pixels: Pixels) -> None:
        """Finds nn(i) for the picture as it is now (equation 4); among many, near earlier matches if there are any."""
        phi = self.features(self._in_hole(pixels))
        for layer in self.settings.layers:
            near = self.geometry[layer].pairs > FEW_PAIRS
            query, candidate = self.matched(layer, self.asking(layer, phi, pixels), near, self.settings.rule)
            self.targets[layer] = target(query, candidate, self.features.wanted[layer], self.banks[layer])

    def asking(self, layer: str, phi: Mapping[str, Tensor], pixels: Pixels) -> Float[Tensor, "channels rows columns"]:
        """What is compared with the layer's keys: the features of its wanted cells, and their colours."""
        box = self.features.wanted[layer]
        return torch.cat([phi[layer], box.of(self.colours[layer].of(self.picture(pixels)))])

    @torch.no_grad()
    def matched(
        self, layer: str, asking: Tensor, near: bool, rule: Rule, keys: Bank | None = None, cost: Cost | None = None
    ) -> tuple[Indices, Indices]:
        """The layer's queries and their candidates, looked for everywhere or near earlier ones; both are kept.

        Args:
            keys: what is asked is compared with: the layer's own, unless others are given.
        """
        patches, box = self.geometry[layer], self.features.wanted[layer]
        keys, guess = keys or self.keys[layer], self.matches.get(layer)
        if guess is None or not near:
            query, candidate = nearest(asking, box, patches.queries, keys, rule, cost)
        else:
            query = patches.queries.flatten().nonzero().flatten()
            candidate = nearby(asking, box, query, guess, keys, rule, cost)
        self.matches[layer] = torch.full_like(patches.queries, -1, dtype=torch.long)
        self.matches[layer].view(-1)[query] = candidate
        return query, candidate

    def energies(self, pixels: Pixels) -> Energies:
        """The three terms of equation 1 and the settings' own, differentiable, with the matches of the last `match`."""
        pixels = self._in_hole(pixels)
        phi = self.features(pixels)
        framed = self.framed.of(self.start).clone()
        self.hole.within(self.framed).of(framed).copy_(pixels)
        if (layer := self.settings.content_layer) is None:
            content = energy.content(framed, self.content_target, self.content_mask)
        else:  # in units of the features themselves, as texture is, so that alpha means the same for every backbone
            content = energy.content(phi[layer].float(), self.content_target, self.content_mask)
            content = content / self.content_target.pow(2).mean()
        terms = Energies(content, energy.texture(phi, self.targets), energy.total_variation(framed, self.framed_mask))
        if not self.settings.terms:
            return terms
        further = energy.further(self.settings.terms, self.picture(pixels), self.start, self.mask)
        return terms._replace(further=further)


def refine_scale(scale: Scale, on_progress: OnProgress | None = None) -> tuple[Picture, tuple[Energies, Energies]]:
    """argmin_x of equation 1 at one scale; the picture, and the energies before and after.

    With `keep_colours` x is the start plus one value a pixel, the same for its three channels.

    Raises:
        UserError: a further term of the energy gives no finite number, or its gradient is not finite.
    """
    settings, start = scale.settings, scale.pixels
    shape = (1, *start.shape[1:]) if settings.keep_colours else start.shape
    optimiser = LBFGS(start.new_zeros(shape).flatten())
    steps, done = settings.rounds * (MATCHING + settings.iterations + 1), 0

    def step(number: int) -> None:
        nonlocal done
        done += number
        if on_progress is not None:
            on_progress(done / steps)

    def pixels() -> Pixels:
        return start + optimiser.x.view(shape)

    def total(flat: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            change = flat.detach().requires_grad_()
            e = scale.energies(start + change.view(shape)).total(settings)
            (gradient,) = torch.autograd.grad(e, change)
        if settings.terms and not gradient.isfinite().all():
            raise UserError(f"The gradient of one of these energy terms is not finite: {', '.join(settings.terms)}.")
        step(1)
        return e.detach(), gradient

    evaluate = torch.no_grad()(scale.energies)
    for number in range(settings.rounds):
        scale.match(pixels())
        step(MATCHING)
        if number == 0:
            before = evaluate(start)
        optimiser.minimise(total, settings.iterations)
    return scale.picture(pixels().clamp(0, 1)), (before, evaluate(pixels().clamp(0, 1)))
