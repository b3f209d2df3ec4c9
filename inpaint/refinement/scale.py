"""One scale of the refinement: its energy, its matches, its optimisation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inpaint.imaging.box import Box
from inpaint.imaging.pixels import composite
from inpaint.refinement import energy
from inpaint.refinement.energy import Energies
from inpaint.refinement.features import HoleFeatures
from inpaint.refinement.matching import Bank, Colours, Target, geometry, make_bank, nearby, nearest, stack, target
from inpaint.refinement.optimise import LBFGS
from inpaint.refinement.settings import Settings
from inpaint.vgg import VGG

FEW_PAIRS = 2**24  # of queries and candidates: so few are all looked at in less time than an iteration takes


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


Progress = Callable[[float], None]


def _part(progress: Progress | None, done: float, share: float) -> Progress:
    """The progress of a part, which is that share of the whole, when so much of the whole was done before it."""
    return lambda part: progress(done + share * part) if progress is not None else None


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
