"""Generates random holes for training and evaluation, as masks that are 1 in the hole and 0 elsewhere.

Every function maps a size and a random generator to a mask, so that one seed always gives the same hole, or raises a
UserError where an option is out of range. The content network sees pictures at 128 x 128 and predicts their middle
half, as the paper's does, so these holes lie inside the rows and columns 32 to 95 once they are resized to that; with
`anywhere=True` those that are drawn lie anywhere, as those from files may (`inpaint.data.mask_files`). No hole is
empty, in pictures of 3 x 3 pixels or more.
"""

import hashlib
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.pixels import Mask

Hole = Callable[[tuple[int, int], torch.Generator], Mask]


def hole_generator(*keys: int | str) -> torch.Generator:
    """Makes a generator that depends on all keys and nothing else: the same in every process and on every machine.

    Neighbouring keys (epochs 1 and 2, ranks 0 and 1) give unrelated numbers; `1` and `"1"` differ.
    """
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def least_margin(side: int) -> int:
    """How many pixels a hole keeps from either end of a side: a quarter, rounded up."""
    return -(-side // 4)  # a pixel across the border of the middle half would, resized to 128, lie on both sides of it


def hole_area(mask: Mask, anywhere: bool = False) -> Float[Tensor, "1 area_height area_width"]:
    """The part of a mask in which a hole may lie: its middle half, or all of it (a view)."""
    if anywhere:
        return mask
    top, left = map(least_margin, mask.shape[1:])
    return mask[:, top : mask.shape[1] - top, left : mask.shape[2] - left]


def centre_square(size: tuple[int, int], generator: torch.Generator, *, fraction: float) -> Mask:
    """The centred rectangle whose sides are `fraction`, in (0, 0.5], of the picture's: a square in a square picture.

    0.5 is the paper's hole (256 of 512, 64 of 128), 0.4375 the Context Encoder's (224 of 512, 56 of 128). It is
    centred to the pixel. The generator is not used.
    """
    if not 0 < fraction <= 0.5:
        raise UserError(f"centre_square: fraction is {fraction}, but a hole needs 0 < fraction <= 0.5.")
    top, left = (max(math.floor(side * (1 - fraction) / 2), least_margin(side)) for side in size)
    mask = torch.zeros(1, *size)
    mask[:, top : size[0] - top, left : size[1] - left] = 1
    return mask


def random_blocks(
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    blocks: int = 5,
    side: tuple[float, float] = (0.1, 0.25),
    anywhere: bool = False,
) -> Mask:
    """One to `blocks` rectangles that may overlap, each side a random part (`side`, in (0, 0.5]) of the picture's.

    The Context Encoder's random blocks (Pathak et al. 2016, section 3.3), kept in the middle unless `anywhere`.
    """
    check_least("random_blocks: blocks", blocks, 1)
    check_range("random_blocks: side", side, 0.5)
    mask = torch.zeros(1, *size)
    inside = hole_area(mask, anywhere)
    for _ in range(_integer(1, blocks, generator)):
        cut = []
        for whole, limit in zip(size, inside.shape[1:], strict=True):
            length = min(max(1, round(whole * _uniform(*side, generator))), limit)
            start = _integer(0, limit - length, generator)
            cut.append(slice(start, start + length))
        inside[:, cut[0], cut[1]] = 1
    return mask


def free_form(
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    strokes: int = 4,
    vertices: int = 6,
    width: tuple[float, float] = (0.03, 0.1),
    anywhere: bool = False,
) -> Mask:
    """One to `strokes` brush strokes: round-ended polylines of 2 to `vertices` points that wander at random.

    A stroke's width is a random part (`width`, in (0, 0.5]) of the picture's shorter side, its pieces are up to a
    quarter of it long. In the manner of Yu et al., "Free-Form Image Inpainting with Gated Convolution" (ICCV 2019),
    kept in the middle unless `anywhere`.
    """
    check_least("free_form: strokes", strokes, 1)
    check_least("free_form: vertices", vertices, 2)
    check_range("free_form: width", width, 0.5)
    mask = torch.zeros(1, *size)
    inside = hole_area(mask, anywhere)
    last = torch.tensor(inside.shape[1:]) - 1
    pixels = torch.stack(torch.meshgrid(*(torch.arange(n + 1.0) for n in last.tolist()), indexing="ij"), dim=-1)
    for _ in range(_integer(1, strokes, generator)):
        radius = max(1.0, min(size) * _uniform(*width, generator)) / 2
        # Starting on a pixel keeps even the thinnest stroke from falling between pixels.
        point = (torch.rand(2, generator=generator) * last).round()
        for _ in range(_integer(2, vertices, generator) - 1):
            angle = _uniform(0, 2 * math.pi, generator)
            length = min(size) * _uniform(0.05, 0.25, generator)
            step = length * torch.tensor([math.sin(angle), math.cos(angle)])
            target = (point + step).clamp(min=torch.zeros(2), max=last.float())
            inside[0][_distance(pixels, point, target) <= radius] = 1
            point = target
    return mask


def mixed(size: tuple[int, int], generator: torch.Generator, *, fraction: float) -> Mask:
    """A centre square of this `fraction`, random blocks or free-form strokes, each as often as the others."""
    kind = _integer(0, 2, generator)
    if kind == 0:
        return centre_square(size, generator, fraction=fraction)
    return (random_blocks, free_form)[kind - 1](size, generator)


def _distance(
    pixels: Float[Tensor, "height width 2"], start: Float[Tensor, "2"], end: Float[Tensor, "2"]
) -> Float[Tensor, "height width"]:
    """Each pixel's distance from the segment."""
    along = end - start
    share = ((pixels - start) @ along / along.square().sum().clamp(min=1e-12)).clamp(0, 1)
    return (pixels - start - share[..., None] * along).norm(dim=-1)


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Uniform, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def check_least(name: str, value: int, least: int) -> None:
    """Raises a UserError for a value below `least`."""
    if value < least:
        raise UserError(f"{name} is {value}, but must be at least {least}.")


def check_range(name: str, values: tuple[float, float], most: float) -> None:
    """Raises a UserError unless the values are the ends of a range within (0, most]."""
    low, high = values
    if not 0 < low <= high <= most:
        raise UserError(f"{name} is [{low}, {high}], but must be a range within (0, {most}], smaller value first.")
