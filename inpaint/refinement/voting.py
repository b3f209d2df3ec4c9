"""Fills a hole with structure before any gradient: patches are matched by their features, and vote on its pixels.

Expectation and maximisation, as in Wexler et al. (2007) and Barnes et al. (2009), with features to compare by instead
of colours: each patch of the hole is matched to one outside, every match lays its pixels over the hole, where
they overlap they are averaged, and what that gives is matched again. The paper has none of it.
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor

from inpaint.imaging.pixels import Mask, Picture, composite
from inpaint.refinement.matching import AROUND, Colours, Indices, Tries, make_bank, suggested
from inpaint.refinement.scale import OnProgress, Scale

# What a match may cost, against a cosine of at most 1:
COLOUR, COLOUR_INSIDE = 24.0, 12.0  # a colour unlike the prediction's, at the hole's border and far inside
DECAY = 2.0  # cells of the first scale over which the first becomes the second: the prediction is less sure inside
HEIGHT = 0.4  # being as much higher or lower as the picture is high: below is another world than above
ALONE = 0.2  # continuing what none of the eight neighbours was matched to
WISH = 1.0  # weight of the prediction's colours as further channels, beside what is compared

LIGHT = 0.03  # by how much, of white, a patch may be laid lighter or darker: light falls off across walls and skies


def lighter(
    wanted: Float[Tensor, "patches values"], offered: Float[Tensor, "patches values"]
) -> Float[Tensor, "patches 1"]:
    """How much lighter each patch is to be laid than it was offered, so that its mean comes nearer to what is wanted.

    Without it the even light of a sky or a wall breaks into steps. It is little (`LIGHT`), for what is wanted may be a
    blur, and the same for all three channels, so that the patch keeps its colour.
    """
    return (wanted - offered).mean(1, keepdim=True).clamp(-LIGHT, LIGHT)


def lay(
    picture: Picture, mask: Mask, query: Indices, candidate: Indices, stride: int, light: Float[Tensor, "queries 1"]
) -> Picture:
    """The picture with its hole filled by the matched patches: the means of the pixels that their nine cells lay.

    At the picture's border, where no patch of the hole reaches, it stays as it was filled before.

    Args:
        light: by how much each patch is laid lighter.
    """
    whole = (..., slice(picture.shape[-2] // stride * stride), slice(picture.shape[-1] // stride * stride))
    cells = F.pixel_unshuffle(picture[whole][None], stride)[0]  # a cell's pixels as channels
    rows, columns = cells.shape[1:]
    pixels = cells.flatten(1).T.contiguous()
    total, count = torch.zeros_like(pixels), pixels.new_zeros(len(pixels))
    for dy, dx in AROUND:
        move = dy * columns + dx
        total.index_add_(0, query + move, pixels[candidate + move] + light)
        count.index_add_(0, query + move, torch.ones_like(query, dtype=count.dtype))
    laid = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], pixels)
    out = picture.clone()
    out[whole] = F.pixel_shuffle(laid.T.reshape(1, -1, rows, columns), stride)[0].clamp(0, 1)
    return composite(picture, out, mask)


class Costs:
    """The cost of matching a query to a candidate.

    Args:
        prediction: the first stage's, at this scale: its colours are wanted.
        cells: how many cells of this scale one cell of the first scale is wide.
    """

    def __init__(self, scale: Scale, prediction: Picture, cells: int) -> None:
        layer = scale.settings.voting_layer
        stride = scale.strides[layer]
        self.rows, self.columns = scale.geometry[layer].queries.shape
        self.wanted, self.offered = (
            F.unfold(F.avg_pool2d(x, stride)[None], 3, padding=1)[0].T for x in (prediction, scale.known)
        )
        hole = F.max_pool2d(scale.mask, stride)[0] > 0
        depth = torch.from_numpy(ndimage.distance_transform_edt(hole.cpu().numpy())).to(prediction)
        depth = (depth.flatten() - 1).clamp(min=0) / cells
        self.colour = COLOUR_INSIDE + (COLOUR - COLOUR_INSIDE) * torch.exp(-depth / DECAY)

    def __call__(
        self,
        lengths: Float[Tensor, " cells"],
        matches: Int[Tensor, "rows columns"] | None,
        query: Indices,
        tried: Tries,
    ) -> Float[Tensor, "queries tries"]:
        """The costs of queries, times the lengths |P_i| of their patches, since scores are |P_i| times a cosine.

        Args:
            matches: those of the round before; a candidate that continues none of them costs `ALONE` more.
        """
        wanted, offered = self.wanted[query], self.offered[tried]
        alike = len(tried) == 1  # for all queries: then products do, which are quicker and smaller than all differences
        if alike:
            colours = torch.cdist(wanted, offered[0]).square() / wanted.shape[1]
        else:
            colours = (wanted[:, None] - offered).pow(2).mean(-1)
        height = (query[:, None] // self.columns - tried // self.columns).abs() / self.rows
        cost = self.colour[query][:, None] * colours + HEIGHT * height
        if matches is not None:
            neighbours = suggested(query, matches)[:, [move != (0, 0) for move in AROUND]]
            if alike:
                cells = cost.new_zeros(len(query), self.rows * self.columns + 1)  # and one for no match
                cells.scatter_add_(1, neighbours % cells.shape[1], torch.ones_like(neighbours, dtype=cost.dtype))
                together = cells[:, tried[0]]
            else:
                together = (tried[:, :, None] == neighbours[:, None]).sum(-1)
            cost = cost + ALONE * (1 - together / neighbours.shape[1])
        return lengths[query][:, None] * cost


@torch.no_grad()
def vote(scale: Scale, prediction: Picture, rounds: int, number: int, on_progress: OnProgress | None = None) -> None:
    """Rounds of matching and laying at one scale, which from then on starts from what they give.

    At the first scale every candidate is looked at, at the later ones those near the matches of the scale before;
    always by normalised cross-correlation, in whose unit the costs are stated.

    Args:
        prediction: the first stage's, at this scale.
        number: of the scale, 0 at the coarsest.
        on_progress: called after each round with the share of the work that is done.
    """
    layer = scale.settings.voting_layer
    stride = scale.strides[layer]
    queries, box = scale.geometry[layer].queries, scale.features.wanted[layer]
    if not queries.any():
        return
    costs = Costs(scale, prediction, 2**number)
    keys = scale.keys[layer]
    wish = Colours.beside(scale.features.whole[layer], scale.start, stride, WISH)
    offered = make_bank(torch.cat([keys.features, wish.of(scale.start)]), keys.candidates)
    wished = box.of(wish.of(prediction))
    for done in range(1, rounds + 1):
        asking = torch.cat([scale.asking(layer, scale.features(scale.pixels), scale.pixels), wished])
        lengths = torch.zeros_like(queries, dtype=asking.dtype)
        box.of(lengths).copy_((9 * F.avg_pool2d(asking.pow(2).sum(0)[None], 3, 1, 1)[0]).sqrt())
        cost = partial(costs, lengths.flatten(), scale.matches.get(layer))
        query, candidate = scale.matched(layer, asking, number > 0, "ncc", offered, cost)
        light = lighter(costs.wanted[query], costs.offered[candidate])
        scale.start_from(lay(scale.start, scale.mask, query, candidate, stride, light))
        if on_progress is not None:
            on_progress(done / rounds)
