"""Refines the hole at one scale: finds matches, states the energy that follows, and minimises it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture, composite
from inpaint.refinement import energy
from inpaint.refinement.energy import Energies, Target, target
from inpaint.refinement.features import HoleFeatures
from inpaint.refinement.matching import Bank, Colours, finer, geometry, make_bank, nearby, nearest
from inpaint.refinement.optimise import LBFGS
from inpaint.refinement.settings import Settings
from inpaint.vgg import VGG

FEW_PAIRS = 2**24  # of queries and candidates: so few are all looked at in less time than an iteration takes

Pixels = Float[Tensor, "3 hole_height hole_width"]
Matches = Mapping[str, Int[Tensor, "rows columns"]]
OnProgress = Callable[[float], None]


@dataclass
class ScaleReport:
    """What happened at one scale."""

    size: tuple[int, int]  # height and width
    before: Energies  # at the start, with its first matches
    after: Energies  # at the end, with the last ones
    iterations: int  # of L-BFGS
    seconds: float


class Scale:
    """One scale: the energy as a function of the pixels in the hole's box, and the matches that it holds fixed.

    Args:
        known: the picture at this scale, anything in the hole.
        start: what the hole is filled with at first, and x_i of the content term; its features and those of the
            known pixels around are where candidates come from.
        matches: for each layer, what each cell of the scale before, half this one, was matched to; without them every
            candidate is looked at, at least once.

    Raises:
        UserError: the hole leaves no candidate patch.
    """

    def __init__(
        self, vgg: VGG, known: Picture, mask: Mask, start: Picture, settings: Settings, matches: Matches | None = None
    ) -> None:
        self.settings = settings
        self.start = composite(known, start, mask)
        self.hole = Box.around(mask)
        self.framed = self.hole.grown(1, mask.shape[-2:])  # total variation looks one pixel beyond the hole
        self.framed_mask = self.framed.of(mask)

        self.geometry = {layer: geometry(mask, vgg.strides[layer]) for layer in settings.layers if layer in vgg.strides}
        wanted = {}
        for layer in dict.fromkeys((*settings.layers, settings.content_layer)):
            if layer is not None:
                stride = vgg.strides.get(layer, 1)
                size = (mask.shape[-2] // stride, mask.shape[-1] // stride)
                wanted[layer] = self.hole.pooled(size, stride).grown(1, size)
        self.features = HoleFeatures(vgg, self.start, self.hole, wanted)
        self.colours: dict[str, Colours] = {}
        self.keys: dict[str, Bank] = {}  # what queries are compared with: features and colours
        self.banks: dict[str, Bank] = {}  # what they then want: features
        for layer, patches in self.geometry.items():
            whole = self.features.whole[layer]
            self.colours[layer] = Colours.beside(whole, self.start, vgg.strides[layer], settings.colour)
            compared = torch.cat([whole, self.colours[layer].of(self.start)])
            self.keys[layer] = make_bank(compared, patches.candidates)
            self.banks[layer] = make_bank(self.keys[layer].features[:-3], patches.candidates)
        if settings.content_layer is None:
            self.content_target, self.content_mask = self.framed.of(self.start), self.framed_mask  # x_i
        else:
            box = wanted[settings.content_layer]
            self.content_mask = box.of(F.max_pool2d(mask, vgg.strides[settings.content_layer]))
            self.content_target = box.of(self.features.whole[settings.content_layer]).float()
        self.targets: dict[str, Target] = {}
        self.matches = {
            layer: finer(match, self.geometry[layer].queries.shape) for layer, match in (matches or {}).items()
        }

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
        phi, picture = self.features(self._in_hole(pixels)), self.picture(pixels)
        for layer, patches in self.geometry.items():
            box, keys, rule = self.features.wanted[layer], self.keys[layer], self.settings.rule
            asking = torch.cat([phi[layer], box.of(self.colours[layer].of(picture))])
            guess = self.matches.get(layer)
            if guess is None or patches.pairs <= FEW_PAIRS:
                query, candidate = nearest(asking, box, patches.queries, keys, rule)
            else:
                query = patches.queries.flatten().nonzero().flatten()
                candidate = nearby(asking, box, query, guess, keys, rule)
            self.targets[layer] = target(query, candidate, box, self.banks[layer])
            self.matches[layer] = torch.full_like(patches.queries, -1, dtype=torch.long)
            self.matches[layer].view(-1)[query] = candidate

    def energies(self, pixels: Pixels) -> Energies:
        """The three terms of equation 1, differentiable, with the matches of the last `match`."""
        pixels = self._in_hole(pixels)
        phi = self.features(pixels)
        framed = self.framed.of(self.start).clone()
        self.hole.within(self.framed).of(framed).copy_(pixels)
        if (layer := self.settings.content_layer) is None:
            content = energy.content(framed, self.content_target, self.content_mask)
        else:  # in units of the features themselves, as texture is, so that alpha means the same for every backbone
            content = energy.content(phi[layer].float(), self.content_target, self.content_mask)
            content = content / self.content_target.pow(2).mean()
        return Energies(content, energy.texture(phi, self.targets), energy.total_variation(framed, self.framed_mask))


def refine_scale(scale: Scale, on_progress: OnProgress | None = None) -> tuple[Picture, tuple[Energies, Energies]]:
    """argmin_x of equation 1 at one scale; the picture, and the energies before and after."""
    settings, shape = scale.settings, scale.pixels.shape
    optimiser = LBFGS(scale.pixels.flatten())

    def total(flat: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = flat.detach().requires_grad_()
            e = scale.energies(x.view(shape)).total(settings)
            (gradient,) = torch.autograd.grad(e, x)
        return e.detach(), gradient

    evaluate = torch.no_grad()(scale.energies)
    for number in range(settings.rounds):
        scale.match(optimiser.x.view(shape))
        if number == 0:
            before = evaluate(scale.pixels)
        optimiser.minimise(total, settings.iterations)
        if on_progress is not None:
            on_progress((number + 1) / settings.rounds)
    pixels = optimiser.x.view(shape).clamp(0, 1)
    return scale.picture(pixels), (before, evaluate(pixels))
