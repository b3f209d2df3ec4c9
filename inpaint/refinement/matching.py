"""Finds the nearest 3 x 3 feature patch outside the hole for each one inside (equation 4).

A layer of stride s sees the picture in cells of s x s pixels. R^phi, the hole in the feature map, is every cell with a
pixel of the hole in it. Queries are the patches centred on a cell of R^phi, candidates those none of whose nine cells
is in R^phi; both lie wholly inside the map.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture
from inpaint.refinement.settings import Rule

FeatureMap = Float[Tensor, "channels rows columns"]
Cells = Bool[Tensor, "rows columns"]
Indices = Int[Tensor, " queries"]  # flat indices of a map's cells
Tries = Int[Tensor, "queries tries"]  # candidates that each query is compared with; or one row of them for all
Cost = Callable[[Indices, Tries], Float[Tensor, "queries tries"]]
"""The cost of matching a query to each candidate, in the unit of the scores; it is subtracted from them."""
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]  # a cell and its eight neighbours
BLOCK_BYTES = 64 * 2**20  # a bound for each of the few score maps that matching holds at a time


class Geometry(NamedTuple):
    """Where the patches of one layer lie; centres, as maps of the whole layer."""

    queries: Cells
    candidates: Cells

    @property
    def pairs(self) -> int:
        return int(self.queries.sum()) * int(self.candidates.sum())


def geometry(mask: Mask, stride: int) -> Geometry:
    """The queries and candidates of a layer with that stride.

    Raises:
        UserError: there are queries but no candidates, or the map is too small for any patch.
    """
    cells = F.max_pool2d(mask, stride)[0] if min(mask.shape[-2:]) >= stride else mask.new_zeros(0, 0)
    rows, columns = cells.shape
    inner = torch.zeros(rows, columns, dtype=torch.bool, device=mask.device)
    inner[1:-1, 1:-1] = True
    near = F.max_pool2d(cells[None], 3, stride=1, padding=1)[0] if cells.numel() else cells
    found = Geometry((cells > 0) & inner, (near == 0) & inner)
    if not found.candidates.any() and (found.queries.any() or min(rows, columns) < 3):
        raise UserError(
            f"The hole leaves no patch to learn from in a picture of {mask.shape[-1]} x {mask.shape[-2]} pixels: "
            f"its surroundings have to hold at least one clear square of {3 * stride} x {3 * stride} pixels. "
            "Make the hole smaller, or give more of the picture."
        )
    return found


class Bank(NamedTuple):
    """The candidate patches of one layer of one picture, as the feature map that holds them."""

    features: FeatureMap
    candidates: Cells
    squared_norms: Float[Tensor, "rows columns"]  # |P_j|^2 of the patch centred on each inner cell, elsewhere 0

    @property
    def mean_squared_norm(self) -> Float[Tensor, ""]:
        """The unit in which a layer's distances are measured, so that alpha means the same for every backbone."""
        return self.squared_norms[self.candidates].mean()


def make_bank(features: FeatureMap, candidates: Cells) -> Bank:
    """The bank of these features (any precision; kept in float32)."""
    features = features.float()
    squares = features.pow(2).sum(0)
    norms = 9 * F.avg_pool2d(squares[None], 3, stride=1)[0]
    return Bank(features, candidates, F.pad(norms, (1, 1, 1, 1)))


class Colours(NamedTuple):
    """The mean colours of a layer's cells, as three more channels to compare beside its features.

    Deep features say little of colour: without it a wall may be matched to the water before it.
    """

    stride: int
    centre: Float[Tensor, "3 1 1"]
    unit: Float[Tensor, ""]

    @classmethod
    def beside(cls, features: FeatureMap, picture: Picture, stride: int, weight: float) -> "Colours":
        """Scales them so that their spread in this picture is `weight` times the root mean square of its features."""
        cells = F.avg_pool2d(picture, stride)
        centre = cells.mean((1, 2), keepdim=True)
        strength = features.float().pow(2).sum(0).mean().sqrt()
        deviation = (cells - centre).pow(2).sum(0).mean().sqrt()
        return cls(stride, centre, weight * strength / deviation.clamp(min=1 / 255))

    def of(self, picture: Picture) -> Float[Tensor, "3 rows columns"]:
        """The channels for a picture: its cells' mean colours, about the mean and in the unit of `beside`."""
        return (F.avg_pool2d(picture, self.stride) - self.centre) * self.unit


def _shifted_sum(scores: Float[Tensor, "*block cells rows columns"]) -> Float[Tensor, "*block fewer_cells rows fewer"]:
    """sum_d scores[..., i + d, :, j + d] for d = -1, 0, 1: neighbouring cells with equally neighbouring candidates."""
    total = scores[..., :-2, :, :-2] + scores[..., 1:-1, :, 1:-1]
    return total.add_(scores[..., 2:, :, 2:])


@torch.no_grad()
def nearest(
    features: FeatureMap,
    box: Box,
    queries: Cells,
    bank: Bank,
    rule: Rule,
    cost: Cost | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Indices, Indices]:
    """nn(i) (equation 4): for each query the nearest candidate.

    'l2' takes the least |P_i - P_j|^2 (the paper), 'ncc' the greatest <P_i, P_j> / |P_j| (the authors' code).
    <P_i, P_j> = sum_d <f_(i+d), f_(j+d)>: one product over the channels of single cells, then nine shifted scores are
    added, in two steps of three. Queries are taken in blocks whose scores fit into `block_bytes`, so that memory stays
    bounded; the block below reuses the scores of the two rows that both need.

    Args:
        features: of the picture as it is now, in a box that holds every query's whole patch.
        box: where that box lies in the map.
        cost: taken from the scores before they are compared.
        block_bytes: bound for one score map.

    Returns:
        Queries, in row-major order, and their candidates; a tie goes to the candidate that comes first.
    """
    rows, columns = bank.candidates.shape
    bad = torch.tensor(-torch.inf, device=features.device)
    inner_norms, inner_candidates = bank.squared_norms[1:-1, 1:-1], bank.candidates[1:-1, 1:-1]
    if rule == "l2":  # |P_i - P_j|^2 = |P_i|^2 - (2 <P_i, P_j> - |P_j|^2), and the first term is the same for every j
        scale, offset = torch.full_like(inner_norms, 2.0), -inner_norms
    else:
        scale, offset = inner_norms.clamp(min=1e-12).rsqrt(), torch.zeros_like(inner_norms)
    offset = torch.where(inner_candidates, offset, bad)

    cells = features.float().permute(1, 2, 0)  # [box rows, box columns, channels]
    keys = bank.features.flatten(1)
    empty = torch.zeros(0, dtype=torch.long, device=features.device)
    asked, found = [empty], [empty]
    centres = torch.arange(rows * columns, device=features.device).view(rows, columns)[1:-1, 1:-1].flatten()
    inside = box.of(queries)[1:-1, 1:-1]  # no query's patch leaves the box
    fitting = max(1, block_bytes // (4 * rows * columns))  # cells whose scores are held at a time
    width = max(1, min(fitting // 3 - 2, inside.shape[1]))  # of the queries; cells are one more on each side
    height = max(1, fitting // (width + 2) - 2)
    for left in range(0, inside.shape[1], width):
        scores, end = cells.new_zeros(0), 0  # of rows of cells that were looked at, and the row after the last of them
        for top in range(0, inside.shape[0], height):
            y, x = inside[top : top + height, left : left + width].nonzero().unbind(1)
            if not len(y):
                continue
            begin, known = max(top, end), max(0, end - top)
            end = min(top + height, inside.shape[0]) + 2
            block = cells[begin:end, left : left + width + 2]
            new = _shifted_sum((block.flatten(0, 1) @ keys).view(*block.shape[:2], rows, columns))
            scores = torch.cat([scores[-known:], new]) if known else new
            total = scores[:-2, :, :-2] + scores[1:-1, :, 1:-1]
            total = total.add_(scores[2:, :, 2:])[y, x].flatten(1)
            asked.append((box.top + 1 + top + y) * columns + box.left + 1 + left + x)
            total = torch.addcmul(offset.flatten(), total, scale.flatten(), out=total)
            best = (total if cost is None else total - cost(asked[-1], centres[None])).argmax(1)
            found.append(centres[best])
    query, candidate = torch.cat(asked), torch.cat(found)
    order = query.argsort()
    return query[order], candidate[order]


def suggested(query: Indices, guess: Int[Tensor, "rows columns"]) -> Int[Tensor, "queries 9"]:
    """The candidates that a query and its neighbours suggest: their matches, shifted back to the query.

    -1 where the neighbour has no match, or the moved one leaves the map. What is suggested may be no candidate.
    """
    rows, columns = guess.shape
    dy, dx = torch.tensor(AROUND, device=guess.device).T
    padded = F.pad(guess, (1, 1, 1, 1), value=-1)
    match = padded[(query // columns)[:, None] + 1 + dy, (query % columns)[:, None] + 1 + dx]
    y, x = match // columns - dy, match % columns - dx
    inside = (match >= 0) & (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    return torch.where(inside, y * columns + x, -1)


@torch.no_grad()
def nearby(
    features: FeatureMap,
    box: Box,
    query: Indices,
    guess: Int[Tensor, "rows columns"],
    bank: Bank,
    rule: Rule,
    cost: Cost | None = None,
) -> Indices:
    """nn(i) among the candidates that earlier matches suggest: time grows with the queries, not with their square.

    As in PatchMatch (Barnes et al. 2009): if the neighbour i + d was matched to j, then j - d is worth trying for i
    (nine candidates); and so are the eight around the best of them.

    Args:
        features, box, cost: as in `nearest`.
        guess: for each cell of the map the candidate that it was matched to, -1 where there is none. Where none
            of the nine suggestions is a candidate, the search starts from the first candidate of the layer.
    """
    rows, columns = bank.candidates.shape
    source = bank.features.flatten(1).T.contiguous()
    cells = features.float().flatten(1).T.contiguous()
    local = (query // columns - box.top) * (box.right - box.left) + query % columns - box.left
    first = int(bank.candidates.flatten().to(torch.uint8).argmax())

    def best_of(block: slice, tried: Int[Tensor, "block tries"]) -> Int[Tensor, " block"]:
        """The best of some candidates; -1 is none."""
        ty, tx = tried // columns, tried % columns
        allowed = (tried >= 0) & bank.candidates[ty.clamp(0, rows - 1), tx]
        tried = torch.where(allowed, tried, first)
        scores = features.new_zeros(tried.shape, dtype=torch.float32)
        for dy, dx in AROUND:
            asked = cells[local[block] + dy * (box.right - box.left) + dx]
            scores += torch.linalg.vecdot(source[tried + dy * columns + dx], asked[:, None])
        norms = bank.squared_norms.flatten()[tried]
        scores = 2 * scores - norms if rule == "l2" else scores * norms.clamp(min=1e-12).rsqrt()
        if cost is not None:
            scores -= cost(query[block], tried)
        return tried.gather(1, torch.where(allowed, scores, -torch.inf).argmax(1, keepdim=True))[:, 0]

    found = []
    held = BLOCK_BYTES // (
        16 if features.device.type == "cpu" else 1
    )  # in a processor's cache; a GPU wants much at once
    size = max(1, held // (9 * 4 * features.shape[0]))
    for start in range(0, len(query), size):
        block = slice(start, start + size)
        best = best_of(block, suggested(query[block], guess))
        found.append(best_of(block, torch.stack([best + dy * columns + dx for dy, dx in AROUND], 1)))
    return torch.cat(found) if found else query


def finer(match: Int[Tensor, "rows columns"], size: Sequence[int]) -> Int[Tensor, "new_rows new_columns"]:
    """A layer's map of matches for the next scale: each cell takes the match of the coarser cell that it is part of.

    Args:
        match: for each cell the flat index of its match, -1 where there is none.
        size: rows and columns of the layer's map at the next scale: twice those of `match`, or one more.
    """
    rows, columns = match.shape
    y, x = (torch.arange(n, device=match.device) for n in size)
    # cells at the map's border are the middle of no patch: there the next inner cell says where to look
    part_y, part_x = (
        (y // 2).clamp(min(1, rows - 1), max(rows - 2, 0)),
        (x // 2).clamp(min(1, columns - 1), max(columns - 2, 0)),
    )
    coarse = match[part_y[:, None], part_x]
    to_y = 2 * (coarse // columns) + (y - 2 * part_y)[:, None]
    to_x = 2 * (coarse % columns) + x - 2 * part_x
    inside = (coarse >= 0) & (to_y >= 0) & (to_y < size[0]) & (to_x >= 0) & (to_x < size[1])
    return torch.where(inside, to_y * size[1] + to_x, -1)
