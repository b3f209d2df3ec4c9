"""Reads mask files as holes of square samples.

A mask means what it means to `python -m inpaint.fill`: white is the hole, whatever the file holds (1 bit, grey,
colours, transparency, JPEG; see `inpaint.imaging.marked.understood`). Resized, a pixel belongs to the hole as soon as
any pixel that it covers does. Every function here raises a UserError that names the file if it is missing, damaged or
no mask; all but `hole_share` also if the hole would be nothing or everything.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.crops import Crop, centre_crop_mask, cut_mask, random_crop
from inpaint.imaging.marked import Values, described, understood, values_of_image
from inpaint.imaging.pixels import Mask
from inpaint.imaging.reading import opened, upright_size

TRIES = 20  # crops of a training picture, to find one with a part of its hole and of the rest
SquareMask = Float[Tensor, "1 size size"]


def read_mask(path: str | Path, invert: bool = False) -> Mask:
    """Reads a whole mask.

    Args:
        invert: black is the hole.
    """
    mask, values = _marked(path, invert)
    if mask.all() or not mask.any():
        what = "everything" if mask.any() else "nothing"
        raise UserError(
            f"{path} marks {what} as hole, because it holds {described(values)}: leave the file out, or change "
            f"the hole's invert, which is {str(invert).lower()}."
        )
    return mask


def hole_share(path: str | Path, size: int, invert: bool = False) -> float:
    """The hole's part of the largest centred square, resized to this size; a mask may mark nothing or everything."""
    return float(centre_crop_mask(_marked(path, invert)[0], size).mean())


def _marked(path: str | Path, invert: bool) -> tuple[Mask, Values]:
    """What a mask marks, and what its file holds."""
    with opened(path) as image:
        values = values_of_image(image)
    return torch.from_numpy(understood(values, str(path)) ^ invert)[None].float(), values


def centre_hole(path: str | Path, size: int, invert: bool = False) -> SquareMask:
    """The hole in the largest centred square."""
    hole = centre_crop_mask(read_mask(path, invert), size)
    if hole.all() or not hole.any():
        what = "everything" if hole.any() else "nothing"
        raise UserError(f"{path} marks {what} in its centre square, the only part that is used: leave the file out.")
    return hole


def drawn_hole(path: str | Path, size: int, invert: bool, generator: torch.Generator) -> SquareMask:
    """The hole in the largest centred square, mirrored at random, both ways."""
    flips = torch.randint(2, (2,), generator=generator).tolist()
    return centre_hole(path, size, invert).flip([axis for axis, flip in enumerate(flips, -2) if flip])


def cropped_hole(
    path: str | Path,
    size: int,
    invert: bool,
    shape: tuple[int, int],
    crop: Crop,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Crop, SquareMask]:
    """The hole in a crop of the mask's own picture; where it is nothing or everything, another crop is taken.

    Args:
        shape: the picture's height and width, as it was decoded; it may be smaller than its file says.
        crop: of the picture.
        scale: within which another crop is drawn, see `random_crop`.

    Raises:
        UserError: also if the mask has another shape than the picture, or no crop holds hole and surroundings.
    """
    mask = read_mask(path, invert)
    (height, width), (own_height, own_width) = shape, mask.shape[1:]
    if abs(own_height * width - own_width * height) > own_height + own_width:  # sides are rounded when they are shrunk
        raise UserError(
            f"{path} has {own_width} x {own_height} pixels, another shape than its picture: a mask must have the size "
            "of its picture."
        )
    for _ in range(TRIES):
        hole = cut_mask(mask, crop, size)
        if hole.any() and not hole.all():
            return crop, hole
        crop = around_a_pixel(1 - mask if hole.all() else mask, random_crop(scale, generator), generator)
    raise UserError(f"{path}: no crop of its picture holds a part of the hole and a part of the rest: leave it out.")


def around_a_pixel(mask: Mask, crop: Crop, generator: torch.Generator) -> Crop:
    """Moves a crop, no further than it has to be, to where it holds a pixel of a mask, which is drawn."""
    pixels = mask[0].nonzero()
    pixel = pixels[torch.randint(len(pixels), (), generator=generator)].tolist()
    *corner, side = crop.square(*mask.shape[1:])
    starts = (min(max(start, at - side + 1), at) for start, at in zip(corner, pixel, strict=True))
    down, across = (  # the middle of what `Crop.square` rounds to that start
        (start + 0.5) / (whole - side + 1) for start, whole in zip(starts, mask.shape[1:], strict=True)
    )
    return crop._replace(down=down, across=across)


def check_same_size(mask: Path, picture: Path) -> None:
    """Raises a UserError if a mask and its picture differ in size, as far as the picture can be read."""
    own = upright_size(mask)
    try:
        wanted = upright_size(picture)
    except UserError:
        return
    if own != wanted:
        raise UserError(
            f"{mask} is {own[1]} x {own[0]} pixels, but its picture {picture} is {wanted[1]} x {wanted[0]}: a mask "
            "must have the size of its picture."
        )
