"""Reads a person's mask (a file, picture, array or boxes), which marks the pixels to fill."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.reading import opened
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.files import PictureLike
from inpaint.photo.photo import Marked, array_from_tensor


def as_mask(
    mask: PictureLike | None,
    size: tuple[int, int],
    invert: bool = False,
    max_pixels: int = MAX_PIXELS,
    boxes: Sequence[tuple[int, int, int, int]] = (),
) -> Marked:
    """What is to be filled: what a mask marks, whatever holds it, and all boxes, after all checks.

    Args:
        mask: a file or Pillow image (at least half white, or, where its transparency varies, at least half opaque), an
            array or a tensor, see `mask_from_array`; None if the boxes are all.
        size: height and width of the upright photo.
        invert: black is what the mask marks.
        max_pixels: a file that declares more is refused.
        boxes: see `mask_from_boxes`.

    Raises:
        UserError: the mask cannot be read, has another size, or marks nothing; a box has no pixels, or reaches beyond
            the photo; nothing of the photo is left.
    """
    boxed = mask_from_boxes(boxes, size)
    if mask is None and boxes:
        return checked_mask(boxed, size, "--box")
    name = str(mask) if isinstance(mask, str | Path) else "The mask"
    if isinstance(mask, str | Path):
        with opened(mask, max_pixels) as image:
            marked = mask_from_image(image)
    else:
        marked = mask_from_image(mask) if isinstance(mask, Image.Image) else mask_from_array(mask)
    marked = checked_mask(~marked if invert else marked, size, name)
    return checked_mask(marked | boxed, size, f"{name} with --box") if boxes else marked


def mask_from_image(image: Image.Image) -> Marked:
    """Marks the pixels of a Pillow image, upright, that count as white or opaque (see `as_mask`)."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        return np.asarray(image) >= 32768
    if image.mode == "F":
        return np.asarray(image) >= 0.5
    if image.has_transparency_data:
        image = image.convert("RGBA")
        low, high = image.getextrema()[3]  # type: ignore[misc]
        if low != high:
            return np.asarray(image.getchannel("A")) >= 128
    return np.asarray(image.convert("RGB").convert("L")) >= 128


def mask_from_array(mask: Any) -> Marked:
    """Marks what is True, 1, a float of at least 0.5, or an integer of at least half its range in an array or tensor.

    Of three channels (first in a tensor, last in an array) two have to be marked.

    Raises:
        UserError: it is no array, or has more than rows and columns and 1 or 3 channels.
    """
    values = array_from_tensor(mask) if isinstance(mask, Tensor) else np.asarray(mask)
    if values.dtype.kind not in "biuf":
        raise UserError(f"The mask is a {type(mask).__name__}: give a path, a Pillow image, an array or a tensor.")
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 3:
        values = values if isinstance(mask, Tensor) or len(values) == 1 else np.moveaxis(values, -1, 0)
    if values.ndim != 2 and not (values.ndim == 3 and len(values) in (1, 3)):
        raise UserError(f"The mask has the shape {np.shape(mask)}, but rows and columns are expected.")
    if values.dtype.kind == "f":
        marked = values >= 0.5
    elif values.max(initial=0) <= 1:
        marked = values > 0
    else:
        marked = values > np.iinfo(values.dtype if values.dtype.itemsize < 4 else np.uint8).max // 2
    return marked if marked.ndim == 2 else marked.mean(0) > 0.5


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


def checked_mask(marked: Marked, size: tuple[int, int], name: str) -> Marked:
    """Returns the mask itself if a photo of that size can be filled with it, else raises a UserError that names it."""
    if marked.shape != size:
        raise UserError(
            f"{name} is {marked.shape[1]} x {marked.shape[0]} pixels but the photo is {size[1]} x {size[0]}: "
            "a mask must have the size of the photo, seen upright."
        )
    if not marked.any():
        raise UserError(f"{name} is empty: paint what is to be removed white (or add or drop --invert).")
    if marked.all():
        raise UserError(f"{name} marks the whole photo, so nothing is left: mark less (or add or drop --invert).")
    return marked
