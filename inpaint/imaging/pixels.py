"""Functions of pixel tensors: resizing, and putting pictures together. Most take batches as well."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

Picture = Float[Tensor, "3 height width"]
"""RGB in [0, 1], float32."""
Mask = Float[Tensor, "1 height width"]
"""1 in the hole and 0 elsewhere."""


def resize(
    picture: Shaped[Tensor, "*batch channels height width"], size: tuple[int, int], antialias: bool = True
) -> Shaped[Tensor, "*batch channels new_height new_width"]:
    """Bilinear; antialiased when shrinking. 8-bit values are taken as well, which is faster, and rounded."""
    if picture.shape[-2:] == size:
        return picture
    batch = picture.shape[:-3]
    as_batch = picture.reshape(-1, *picture.shape[-3:]) if len(batch) != 1 else picture
    resized = F.interpolate(as_batch, size=size, mode="bilinear", antialias=antialias, align_corners=False)
    return resized.view(*batch, *resized.shape[1:]) if len(batch) != 1 else resized


def resize_mask(
    mask: Float[Tensor, "*batch 1 height width"], size: tuple[int, int]
) -> Float[Tensor, "*batch 1 new_height new_width"]:
    """A mask at another size: a new pixel belongs to the hole as soon as any pixel that it covers does."""
    return F.adaptive_max_pool2d(mask, size)


def resize_masked(
    picture: Float[Tensor, "*batch 3 height width"], mask: Float[Tensor, "*batch 1 height width"], size: tuple[int, int]
) -> tuple[Float[Tensor, "*batch 3 new_height new_width"], Float[Tensor, "*batch 1 new_height new_width"]]:
    """The known pixels at another size, with no colour from the hole in them, and the mask at that size.

    A new pixel is the mean of the *known* pixels around it: picture x validity and validity are resized, then divided.
    The hole is that of `resize_mask`; there the result is 0.
    """
    hole = resize_mask(mask, size)
    known = resize(picture * (1 - mask), size) / resize(1 - mask, size).clamp(min=1e-6)
    return known * (1 - hole), hole


def composite(
    picture: Float[Tensor, "*batch 3 height width"],
    prediction: Float[Tensor, "*batch 3 height width"],
    mask: Float[Tensor, "*batch 1 height width"],
) -> Float[Tensor, "*batch 3 height width"]:
    """The prediction in the hole, the picture elsewhere."""
    return mask * prediction + (1 - mask) * picture


def white_hole(
    picture: Float[Tensor, "*batch 3 height width"], mask: Float[Tensor, "*batch 1 height width"]
) -> Float[Tensor, "*batch 3 height width"]:
    """The picture with its hole shown white."""
    return composite(picture, picture.new_ones(()).expand_as(picture), mask)


def middle(x: Float[Tensor, "*rest height width"]) -> Float[Tensor, "*rest half_height half_width"]:
    """Rows and columns from 1/4 to 3/4: what the content network predicts."""
    height, width = x.shape[-2:]
    return x[..., height // 4 : height - height // 4, width // 4 : width - width // 4]


def in_the_middle(mask: Float[Tensor, "*batch 1 height width"]) -> Float[Tensor, "*batch 1 height width"]:
    """The part of a hole that lies in the middle half; the mask itself stays as it is."""
    inner = torch.zeros_like(mask)
    middle(inner).copy_(middle(mask))
    return inner
