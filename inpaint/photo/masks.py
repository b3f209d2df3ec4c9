"""Reads a person's mask (a file, picture, array or boxes), which marks the pixels to fill."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.marked import Marked, Values, described, understood, values_of_image
from inpaint.imaging.reading import opened
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.files import PictureLike
from inpaint.photo.photo import Photo, array_from_tensor
from inpaint.photo.png import deep_layout, read_deep

ALPHA = Path("alpha")  # stands for a mask: the photo's own clear pixels are to be filled


def as_mask(
    mask: PictureLike | None,
    size: tuple[int, int],
    invert: bool = False,
    max_pixels: int = MAX_PIXELS,
    boxes: Sequence[tuple[int, int, int, int]] = (),
    alpha: Shaped[np.ndarray, "height width"] | None = None,
) -> Marked:
    """What is to be filled: what a mask marks, whatever holds it, and all boxes, after all checks.

    Args:
        mask: a file, Pillow image, array or tensor, see `understood`; `ALPHA` or "alpha" marks the photo's own pixels
            that are less opaque than its most opaque ones; None if the boxes are all.
        size: height and width of the upright photo.
        invert: black is what the mask marks.
        max_pixels: a file that declares more is refused.
        boxes: see `mask_from_boxes`.
        alpha: the photo's transparency, if it has any.

    Raises:
        UserError: the mask cannot be read or understood, has another size, or marks nothing; a box has no pixels, or
            reaches beyond the photo; nothing of the photo is left.
    """
    boxed = mask_from_boxes(boxes, size)
    if mask is None and boxes:
        return checked_mask(boxed, size, "--box")
    name = str(mask) if isinstance(mask, str | Path) else "The mask"
    if name == str(ALPHA):
        marked = ~mask_from_alpha(alpha) if invert else mask_from_alpha(alpha)
        name = "The photo's transparency"
    else:
        if isinstance(mask, str | Path):  # by its header: a small file may hold more pixels than memory has room for
            with opened(mask, max_pixels) as image:
                if sorted(image.size) != sorted(size):  # either way round, for it may have to be turned
                    check_size((image.height, image.width), size, name)
        values = read_values(mask, max_pixels)
        marked = understood(values, name)
        marked = checked_mask(~marked if invert else marked, size, name, values)
    return checked_mask(marked | boxed, size, f"{name} with --box") if boxes else marked


def mask_from_alpha(alpha: Shaped[np.ndarray, "height width"] | None) -> Marked:
    """Marks what is less opaque than a photo's most opaque pixels.

    Raises:
        UserError: the photo has no transparency, or all its pixels are as opaque.
    """
    if alpha is None or (alpha == alpha.flat[0]).all():
        missing = "no transparency" if alpha is None else "the same opacity everywhere"
        raise UserError(f"The photo has {missing}, which marks nothing: give --mask FILE, or erase something.")
    return alpha < alpha.max()


def read_values(mask: PictureLike | None, max_pixels: int = MAX_PIXELS) -> Values:
    """Reads what a file, Pillow image, array or tensor holds; raises a UserError if it is none of these."""
    if isinstance(mask, str | Path):
        with opened(mask, max_pixels) as image:
            if (layout := deep_layout(image)) is not None:  # of which Pillow keeps only the upper halves
                numbers, mode = read_deep(mask, layout, max_pixels)
                colours = len(mode.removesuffix("A"))
                if numbers[..., :colours].max(initial=0) <= 255:  # 16 bits that hold 0 to 255
                    numbers[..., :colours] *= 257
                return values_of_image(Photo(numbers, mode).to_image())
            bits = image.tag_v2.get(BITSPERSAMPLE, (8,)) if isinstance(image, TiffImageFile) else (8,)
            if max(bits) > 8 and image.mode in ("RGB", "RGBA"):
                raise UserError(f"{mask} has more than 8 bits a channel: save it as grey, with 8 bits, or as a PNG.")
            return values_of_image(image)
    return values_of_image(mask) if isinstance(mask, Image.Image) else values_of_array(mask)


def values_of_array(mask: Any) -> Values:
    """The values of an array [height, width], [height, width, channels] or a tensor [channels, height, width].

    There may be a first dimension of 1, and 1 or 3 channels.

    Raises:
        UserError: it is no array, has another shape, or values that are not finite.
    """
    try:
        numbers = array_from_tensor(mask) if isinstance(mask, Tensor) else np.asarray(mask)
    except ValueError:  # lists of unequal lengths
        numbers = np.array(None)
    if numbers.dtype.kind not in "biuf":
        raise UserError(f"The mask is a {type(mask).__name__}: give a path, a Pillow image, an array or a tensor.")
    if numbers.ndim == 4 and len(numbers) == 1:
        numbers = numbers[0]
    if numbers.ndim == 3 and (isinstance(mask, Tensor) or (len(numbers) == 1 and numbers.shape[-1] not in (1, 3))):
        numbers = np.moveaxis(numbers, 0, -1)
    if numbers.ndim == 3 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    if numbers.ndim != 2 and not (numbers.ndim == 3 and numbers.shape[-1] == 3):
        raise UserError(f"The mask has the shape {np.shape(mask)}: give rows and columns, and 1 or 3 channels if any.")
    if not np.isfinite(numbers).all():
        raise UserError("The mask holds values that are not finite (NaN or infinity).")
    if numbers.dtype.kind == "b":
        numbers = numbers.astype(np.uint8)
    largest = numbers.max(initial=0)
    return Values(numbers, next((white for white in (1, 255, 65535) if largest <= white), largest))


def mask_from_boxes(boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Marked:
    """Marks all pixels of boxes: left, top, right, bottom in pixels of the upright photo, right and bottom exclusive.

    Raises:
        UserError: a box has no pixels, or reaches beyond the photo.
    """
    height, width = size
    marked = np.zeros(size, dtype=bool)
    for box in boxes:
        left, top, right, bottom = box
        name = ",".join(map(str, box))
        if right <= left or bottom <= top:
            raise UserError(f"The box {name} is empty: give left,top,right,bottom, with left < right and top < bottom.")
        if left < 0 or top < 0 or right > width or bottom > height:
            raise UserError(f"The box {name} reaches outside the photo, which is {width} x {height} pixels.")
        marked[top:bottom, left:right] = True
    return marked


def check_size(own: tuple[int, ...], size: tuple[int, int], name: str) -> None:
    """Raises a UserError if a mask's height and width are not those of the photo."""
    if own != size:
        raise UserError(
            f"{name} is {own[1]} x {own[0]} pixels, but the photo, shown upright, is {size[1]} x {size[0]}: "
            "give a mask of the photo's size."
        )


def checked_mask(marked: Marked, size: tuple[int, int], name: str, values: Values | None = None) -> Marked:
    """Returns the mask itself if a photo of that size can be filled with it, else raises a UserError that names it.

    Args:
        values: what the mask holds, if the sentence is to say it.
    """
    check_size(marked.shape, size, name)
    if marked.any() and not marked.all():
        return marked
    holds = "" if values is None else f", because it holds {described(values)}"
    if not marked.any():
        raise UserError(f"{name} marks nothing{holds}: paint what is to be removed white.")
    raise UserError(f"{name} marks the whole photo{holds}: mark less.")
