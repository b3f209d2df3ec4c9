"""Smooth filling by diffusion, and seamless blending at a hole's border."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture, composite, resize


def neighbours(x: Float[Tensor, "*rest height width"]) -> Float[Tensor, "*rest height width"]:
    """The sum of each pixel's four neighbours; beyond the border is 0."""
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]


def diffuse(
    picture: Float[Tensor, "*batch channels height width"], mask: Float[Tensor, "*batch 1 height width"]
) -> Float[Tensor, "*batch channels height width"]:
    """The picture with its hole filled smoothly: about the solution of Laplace's equation.

    From coarse to fine: the hole of the picture at half the size, filled likewise and doubled, then a few Jacobi
    steps. What stands in the hole is not looked at; with no known pixel at all it becomes 0.
    """
    known = picture * (1 - mask)
    if max(picture.shape[-2:]) == 1:
        return known
    shown = F.avg_pool2d(1 - mask, 2, ceil_mode=True)
    half = F.avg_pool2d(known, 2, ceil_mode=True) / shown.clamp(min=1e-6)
    height, width = picture.shape[-2:]
    doubled = resize(diffuse(half, (shown == 0).to(mask.dtype)), (height, width), antialias=False)
    share = mask / neighbours(torch.ones_like(mask))
    filled = torch.addcmul(known, mask, doubled)
    for _ in range(4):
        filled = torch.addcmul(known, share, neighbours(filled))
    return filled


def seamless(picture: Picture, filled: Picture, mask: Mask, reach: int = 4) -> Picture:
    """The filled picture with no step at the hole's border: seamless cloning (Perez et al. 2003), screened.

    A correction c inside the hole makes the step between a pixel of the hole and a known neighbour as small as c's own
    steps allow, and fades inside by e every `reach` pixels: it minimises the sum of squared differences of c between
    neighbours (on a known neighbour, c is what the filled pixel lacks there) and of c^2 / reach^2. Unscreened, one
    wrong colour at the border would tint the whole hole. Without a hole the picture comes back.
    """
    if not mask.any():
        return picture
    box = Box.around(mask).grown(1, mask.shape[-2:])
    near, inside, hole = box.of(picture), box.of(filled), box.of(mask)
    known = neighbours(1 - hole)
    pull = neighbours(near * (1 - hole)) - known * inside
    degree = neighbours(torch.ones_like(hole)) + reach**-2
    share = hole / degree
    pulled, correction = share * pull, torch.zeros_like(near)
    for _ in range(16 * reach):  # Jacobi: by then what is left to spread has faded
        correction = torch.addcmul(pulled, share, neighbours(correction))
    out = picture.clone()
    box.of(out).copy_(composite(near, (inside + correction).clamp(0, 1), hole))
    return out
