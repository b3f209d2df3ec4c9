"""The energy of equation 1: content, texture and total variation, and their weighted sum.

E(x) = content_weight E_c + alpha E_t + beta Y (upsilon), and further terms that the settings add.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture
from inpaint.refinement.matching import Bank, FeatureMap, Indices
from inpaint.refinement.settings import Settings, Term


class Target(NamedTuple):
    """Equation 3 with nn(i) held fixed, as a target for each cell.

    sum_i |P_i - T_i|^2 = sum_p n_p |f_p - t_p|^2 + rest, where T_i is the patch matched to query i, n_p counts the
    patches that cover cell p, and t_p is the mean of the T_i there. All is divided by the number of queries and by the
    candidates' mean squared norm.
    """

    weight: Float[Tensor, "1 box_rows box_columns"]  # n_p / (|queries| mean_j |P_j|^2)
    wanted: Float[Tensor, "channels box_rows box_columns"]  # t_p
    rest: Float[Tensor, ""]


@torch.no_grad()
def target(query: Indices, candidate: Indices, box: Box, bank: Bank) -> Target:
    """The matches as a target for the features of a box that holds every query's whole patch; all 0 without queries."""
    columns = bank.candidates.shape[1]
    height, width = box.size
    source = bank.features.flatten(1).T.contiguous()
    total = source.new_zeros(height * width, source.shape[1])
    count = source.new_zeros(height * width)
    at = (query // columns - box.top) * width + query % columns - box.left
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            to = at + dy * width + dx
            total.index_add_(0, to, source[candidate + dy * columns + dx])
            count.index_add_(0, to, torch.ones_like(to, dtype=count.dtype))
    wanted = total / count.clamp(min=1)[:, None]
    norms = bank.squared_norms.flatten()[candidate]
    spread = norms.sum() - (count[:, None] * wanted.pow(2)).sum()
    unit = len(query) * bank.mean_squared_norm if len(query) else torch.ones_like(bank.mean_squared_norm)
    return Target((count / unit).view(1, height, width), wanted.T.reshape(-1, height, width), spread / unit)


def content(x: FeatureMap, c: FeatureMap, mask: Mask) -> Float[Tensor, ""]:
    """E_c (equation 2): the mean over the hole's pixels and channels of (x - c)^2, of pictures or of their features."""
    return ((x - c).pow(2) * mask).sum() / (len(x) * mask.sum())


def texture(phi: Mapping[str, FeatureMap], targets: Mapping[str, Target]) -> Float[Tensor, ""]:
    """E_t (equation 3), summed over the layers, for fixed matches; `phi` covers the same box as its target."""
    return sum(
        ((t.weight * (phi[layer].float() - t.wanted).pow(2)).sum() + t.rest for layer, t in targets.items()),
        start=torch.zeros(()),
    )


def total_variation(x: Picture, mask: Mask) -> Float[Tensor, ""]:
    """Y (equation 5): squared differences of neighbouring pixels, at least one of them in the hole, over 3 |R|."""
    down, right = (x[:, 1:] - x[:, :-1]).pow(2), (x[..., 1:] - x[..., :-1]).pow(2)
    down = down * torch.maximum(mask[:, 1:], mask[:, :-1])
    right = right * torch.maximum(mask[..., 1:], mask[..., :-1])
    return (down.sum() + right.sum()) / (len(x) * mask.sum())


def further(terms: Mapping[str, Term], x: Picture, x_i: Picture, mask: Mask) -> dict[str, Float[Tensor, ""]]:
    """The user's own energy terms, unweighted, by name.

    Raises:
        UserError: a term returns something other than one finite number.
    """
    energies = {}
    for name, term in terms.items():
        value = term.energy(x, x_i, mask)
        if not isinstance(value, Tensor) or value.shape != ():
            given = f"a tensor of {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise UserError(f"The energy term {name!r} gives {given}, but must return a tensor of one number.")
        if not value.isfinite():
            raise UserError(f"The energy term {name!r} is {float(value)}, but has to be finite.")
        energies[name] = value
    return energies


class Energies(NamedTuple):
    """The terms of equation 1, unweighted, and those of one's own."""

    content: Float[Tensor, ""]
    texture: Float[Tensor, ""]
    total_variation: Float[Tensor, ""]
    further: Mapping[str, Float[Tensor, ""]] = MappingProxyType({})

    def total(self, settings: Settings) -> Float[Tensor, ""]:
        """E(x)."""
        content = settings.content_weight * self.content
        total = content + settings.alpha * self.texture + settings.beta * self.total_variation
        for name, value in self.further.items():
            total = total + settings.terms[name].weight * value
        return total

    def values(self) -> dict[str, float]:
        """The terms by name, as plain numbers."""
        terms = self._asdict()
        return {name: float(value) for name, value in (terms | terms.pop("further")).items()}
