"""Enlarges a fill with detail: what its patches were matched to is known one scale finer, and is laid over it.

Either whole or, as in contextual residual aggregation (Yi et al. 2020), just what the scale before does not show of it;
the matches are the refinement's own. The paper has none of it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inpaint.imaging.pixels import Mask, Picture, composite, resize
from inpaint.refinement.matching import Indices, suggested
from inpaint.refinement.voting import lighter

REACH = 2  # pixels, to each side, by which a match may move: matches lie on a grid of cells, and edges do not
BLOCK = 4096  # queries at a time, so that memory stays bounded

Corners = Int[Tensor, "queries tries 2"]  # the upper left pixels of patches: row and column


class Level(NamedTuple):
    """A scale that is done."""

    known: Picture
    mask: Mask
    filled: Picture


@torch.no_grad()
def detailed(
    known: Picture, mask: Mask, before: Level, matches: Int[Tensor, "rows columns"], stride: int, whole: bool
) -> tuple[Picture, Int[Tensor, "rows columns"]]:
    """The result of the scale before at this one's size, with detail that the scale before could not show.

    Each patch of 3 x 3 cells is moved to where the pixels of the scale before fit best: among what its neighbours'
    matches suggest, and `REACH` pixels around. Overlapping patches are averaged, with weights that fall from each
    one's middle.

    Args:
        known, mask: of this scale, twice the one before; with an odd size, up to a pixel out of place.
        matches: for each cell of the scale before the flat index of its match, -1 where there is none.
        stride: pixels of the scale before that a cell is wide.
        whole: True copies the known pixels themselves; False adds only their detail (the known picture minus its own
            half-size copy, enlarged), which keeps the colours of the scale before.

    Returns:
        The picture, and the matches as they were moved, to the nearest cell; or as they are, where nothing fits.
    """
    height, width = known.shape[-2:]
    filled = composite(before.known, before.filled, before.mask)
    enlarged = resize(filled, (height, width)).clamp(0, 1)
    laid = known if whole else known - resize(before.known, (height, width))
    pixels = laid.flatten(1).T.contiguous()
    total, weight = torch.zeros_like(pixels), pixels.new_zeros(len(pixels), 1)
    side = 2 * 3 * stride
    tent = 1 - ((torch.arange(side, device=known.device) + 0.5) * 2 / side - 1).abs()
    weights = (tent[:, None] * tent).square().flatten()[None, :, None]
    moved = matches.clone()
    columns = matches.shape[1]
    inner = torch.zeros_like(matches, dtype=torch.bool)  # cells at the picture's border are the middle of no patch
    inner[1:-1, 1:-1] = True
    queries = ((matches >= 0) & inner).flatten().nonzero().flatten()
    if not len(queries):
        return composite(known, enlarged, mask), moved
    search = _Search(before, filled, stride)
    for query in queries.split(BLOCK):
        corner, found = search(query, matches)
        query, corner = query[found], corner[found]
        moved.view(-1)[query] = _cell(corner, stride, columns)
        patches = pixels[_window(2 * corner, side, width)]
        if whole:
            patches = patches + search.light(_corner(query, stride, columns), corner)[..., None]
        to, patches = _window(2 * _corner(query, stride, columns), side, width), patches * weights
        # Every third patch in each direction: these do not overlap, so that a GPU adds in the same order each time.
        turn = query // columns % 3 * 3 + query % columns % 3
        for now in (turn == number for number in range(9)):
            at = to[now].flatten()
            total.index_add_(0, at, patches[now].flatten(0, 1))
            weight.index_add_(0, at, weights.expand(len(query), -1, -1)[now].flatten(0, 1))
    base = enlarged.flatten(1).T
    mean = total / weight.clamp(min=torch.finfo(weight.dtype).tiny)
    mean = torch.where(weight > 0, mean if whole else base + mean, base)  # at the picture's border no patch reaches
    return composite(known, mean.T.view_as(known).clamp(0, 1), mask), moved


def _corner(cell: Tensor, stride: int, columns: int) -> Int[Tensor, "*cells 2"]:
    """The upper left pixel of the 3 x 3 cells around each of these, given by their flat indices."""
    return torch.stack([cell // columns - 1, cell % columns - 1], -1) * stride


def _cell(corner: Int[Tensor, "*cells 2"], stride: int, columns: int) -> Int[Tensor, " *cells"]:
    """The flat index of the cell whose patch begins nearest to that pixel."""
    row, column = ((corner + stride // 2) // stride + 1).unbind(-1)
    return row * columns + column


def _window(corner: Int[Tensor, "*patches 2"], side: int, width: int) -> Int[Tensor, "*patches pixels"]:
    """The flat indices of the pixels of square patches, in a picture of that width."""
    at = torch.arange(side, device=corner.device)
    return (corner[..., 0] * width + corner[..., 1])[..., None] + (at[:, None] * width + at).flatten()


class _Search:
    """Looks for the patches of a scale's known pixels that come nearest to those of its fill."""

    def __init__(self, before: Level, filled: Picture, stride: int) -> None:
        self.stride, self.side = stride, 3 * stride
        self.height, self.width = filled.shape[-2:]
        self.filled, self.known = (x.flatten(1).T.contiguous() for x in (filled, before.known))
        # a patch must be clear of the hole, and of the pixels beside it, which enlarging blends with the hole's
        beside = F.max_pool2d(before.mask[None], 3, 1, 1)
        self.clear: Bool[Tensor, "rows columns"] = F.max_pool2d(beside, self.side, 1)[0, 0] == 0
        moves = torch.arange(-REACH, REACH + 1, device=filled.device)
        self.moves = torch.stack(torch.meshgrid(moves, moves, indexing="ij"), -1).view(-1, 2)

    def __call__(
        self, query: Indices, matches: Int[Tensor, "rows columns"]
    ) -> tuple[Int[Tensor, "queries 2"], Bool[Tensor, " queries"]]:
        """The upper left pixel of each query's best patch, and whether there is any."""
        columns = matches.shape[1]
        wanted = self.filled[_window(_corner(query, self.stride, columns), self.side, self.width)]
        tries = suggested(query, matches)
        best, found = self._best(wanted, _corner(tries, self.stride, columns), tries >= 0)
        best, found = self._best(wanted, best[:, None] + self.moves, found[:, None])
        return best, found

    def light(self, wanted: Int[Tensor, "patches 2"], offered: Int[Tensor, "patches 2"]) -> Float[Tensor, "patches 1"]:
        """How much lighter the known patches that begin there are to be laid, see `lighter`."""
        fill, known = (
            x[_window(at, self.side, self.width)].flatten(1) for x, at in ((self.filled, wanted), (self.known, offered))
        )
        return lighter(fill, known)

    def _best(
        self, wanted: Float[Tensor, "queries pixels 3"], tries: Corners, allowed: Bool[Tensor, "queries _"]
    ) -> tuple[Int[Tensor, "queries 2"], Bool[Tensor, " queries"]]:
        limit = torch.tensor([self.height - self.side, self.width - self.side], device=tries.device)
        inside = tries.clamp(min=torch.zeros_like(limit), max=limit)
        allowed = allowed & (inside == tries).all(-1) & self.clear[inside[..., 0], inside[..., 1]]
        errors = torch.stack(  # one try at a time: all at once would take as many times the memory
            [
                (self.known[_window(one, self.side, self.width)] - wanted).pow(2).mean((1, 2))
                for one in inside.unbind(1)
            ],
            1,
        )
        error, best = torch.where(allowed, errors, torch.inf).min(1)
        return inside[torch.arange(len(inside), device=best.device), best], error.isfinite()
