"""What a person's mask marks, whatever kind of picture, array or box it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageOps
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.reading import opened
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.files import PictureLike
from inpaint.photo.photo import from_tensor


def read_mask(
    path: str | Path, size: tuple[int, int], invert: bool = False, max_pixels: int = MAX_PIXELS
) -> Bool[np.ndarray, "height width"]:
    """What a mask file marks: at least half white, or, where its transparency varies, at least half opaque.

    Args:
        size: height and width of the upright photo.
        invert: black is what is marked.

    Raises:
        UserError: the file cannot be read, has another size, or marks nothing or everything.
    """
    with opened(path, max_pixels) as image:
        marked = marks(image)
    return checked_mask(~marked if invert else marked, size, str(path))


def marks(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    """The pixels of a Pillow image, upright, that count as white (see `read_mask`)."""
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


def array_mask(mask: Any) -> Bool[np.ndarray, "height width"]:
    """What an array or tensor marks: bool, 0 and 1, floats from 0.5 up, or integers from half their range up.

    Of three channels (first in a tensor, last in an array) two have to be marked.
    """
    values = from_tensor(mask) if isinstance(mask, Tensor) else np.asarray(mask)
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


def boxes_mask(boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Marks boxes: left, top, right, bottom in pixels of the upright photo, right and bottom exclusive.

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


def checked_mask(
    marked: Bool[np.ndarray, "height width"], size: tuple[int, int], name: str
) -> Bool[np.ndarray, "height width"]:
    """The mask itself.

    Raises:
        UserError: its size is not the photo's, or nothing or everything is marked.
    """
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


def as_mask(
    mask: PictureLike, size: tuple[int, int], invert: bool, max_pixels: int
) -> Bool[np.ndarray, "height width"]:
    """A mask from whatever holds one, see `Inpainter.fill`."""
    if isinstance(mask, str | Path):
        return read_mask(mask, size, invert, max_pixels)
    marked = marks(mask) if isinstance(mask, Image.Image) else array_mask(mask)
    return checked_mask(~marked if invert else marked, size, "The mask")
