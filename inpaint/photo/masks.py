"""Reads a person's mask (a file, picture, array or boxes), which marks the pixels to fill."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.reading import opened, upright_image
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.files import PictureLike
from inpaint.photo.photo import Marked, Photo, array_from_tensor
from inpaint.photo.png import deep_layout, read_deep

ALPHA = Path("alpha")  # stands for a mask: the photo's own clear pixels are to be filled
FAINT = 1 / 8  # of the range, at least, between the darkest and the brightest of more than two values
BLACK, WHITE = 0.25, 0.75  # of the range: every channel of what counts as black is below, of what counts as white above
MANY = 256  # colours: more are a photo's
LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue


class Values(NamedTuple):
    """What a mask holds."""

    numbers: Shaped[np.ndarray, "height width *channels"]  # grey levels, labels or shares; or red, green and blue
    white: float  # the number that is white
    opaque: Marked | None = None  # where transparency varies: the pixels that are at least half opaque


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
        missing = "no transparency" if alpha is None else "pixels that are all as opaque as the others"
        raise UserError(f"The photo has {missing}, so it cannot be its own mask: give --mask FILE, or erase something.")
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


def values_of_image(image: Image.Image) -> Values:
    """The values of a Pillow image, upright; of a palette whose entries look the same, its indices."""
    image = upright_image(image)
    if image.mode.startswith("I") or image.mode == "F":
        numbers = np.asarray(image)
        if not np.isfinite(numbers).all():
            raise UserError("The mask holds values that are not finite (NaN or infinity).")
        deep = 65535 if image.mode.startswith("I") else 1
        return Values(numbers, deep if numbers.max(initial=0) <= deep else 255)
    opaque = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        low, high = image.getextrema()[3]  # type: ignore[misc]
        if low != high or high < 128:
            opaque = np.asarray(image.getchannel("A")) >= 128
    colours = np.asarray(image.convert("RGB"))
    if image.mode == "P" and (colours == colours[:1, :1]).all():
        return Values(np.asarray(image), 1)
    grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all()
    return Values(colours[..., 0] if grey else colours, 255, opaque)


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


def understood(values: Values, name: str = "The mask") -> Marked:
    """What a mask marks: white, on black; and whatever else can be meant.

    - Of two values the brighter one: 0 and 1, red on black, faint grey.
    - Of more, those on the brighter half of the way from the darkest to the brightest, if all lie about on that way
      (soft edges, JPEG). Shares, which lie in [0, 1], count from a half on.
    - Where transparency varies, only opaque pixels, and of these those that are white; or, where the opaque pixels have
      but one colour, all of them.

    Raises:
        UserError: the values are too faint, or too many colours, as those of a photo are; the sentence says which.
    """
    numbers, opaque = values.numbers, values.opaque
    shown = numbers if opaque is None else numbers[opaque]
    if not shown.size:
        return np.zeros(numbers.shape[:2], dtype=bool)
    codes, counts, colours = palette(shown, numbers.ndim == 3)
    bright = brighter(colours, counts, values)
    if bright is None:
        raise UserError(
            f"{name} cannot be understood as a mask, for it holds {described(values)}: paint what is to be removed "
            "white, and all the rest black."
        )
    table = np.zeros(len(counts), dtype=bool)
    table[counts > 0] = bright
    if opaque is None:
        return table[codes]
    marked = opaque.copy()
    marked[opaque] = table[codes]
    return marked


def palette(
    shown: Shaped[np.ndarray, "*pixels"], coloured: bool
) -> tuple[Integer[np.ndarray, "*pixels"], Integer[np.ndarray, " codes"], Float[np.ndarray, "used channels"]]:
    """A number for each pixel's colour, how many pixels have each number, and the colours of those that any has."""
    if shown.dtype == np.uint8 and coloured:
        codes = shown[..., 0].astype(np.uint32) << 16
        codes |= shown[..., 1].astype(np.uint32) << 8
        codes |= shown[..., 2]
        counts = counted(codes, 1 << 24)
        used = counts.nonzero()[0]
        return codes, counts, np.stack([used >> 16, used >> 8 & 255, used & 255], -1).astype(float)
    if shown.dtype in (np.uint8, np.uint16) and not coloured:
        counts = counted(shown, np.iinfo(shown.dtype).max + 1)
        return shown, counts, counts.nonzero()[0][:, None].astype(float)
    flat = shown.reshape(-1, 3) if coloured else shown.ravel()
    axis = 0 if coloured else None
    colours, codes, counts = np.unique(flat, axis=axis, return_inverse=True, return_counts=True)
    colours = colours.reshape(len(counts), -1)
    return codes.reshape(shown.shape[:-1] if coloured else shown.shape), counts, colours.astype(float)


def counted(codes: Integer[np.ndarray, "*pixels"], number: int) -> Integer[np.ndarray, " number"]:
    """How many pixels have each code below `number`; in parts, for numpy takes 8 bytes a pixel for it."""
    counts = np.zeros(number, dtype=np.int64)
    flat = codes.ravel()
    for start in range(0, len(flat), 1 << 24):
        counts += np.bincount(flat[start : start + (1 << 24)], minlength=number)
    return counts


def brighter(
    colours: Float[np.ndarray, "colours channels"], counts: Integer[np.ndarray, " codes"], values: Values
) -> Bool[np.ndarray, " colours"] | None:
    """Which colours count as white, see `understood`; None where that cannot be said."""
    white = values.white
    light = colours @ LUMINANCE if colours.shape[1] == 3 else colours[:, 0]
    dark, bright = colours[light.argmin()], colours[light.argmax()]
    alike = len(colours) == 1 or np.abs(colours - dark).max() < FAINT * white
    if len(colours) == 2 and dark.max() < BLACK * white:  # 0 and 1
        alike = False
    if values.opaque is not None and alike:
        return np.ones(len(colours), dtype=bool)
    if values.opaque is not None and not (dark.max() < BLACK * white or bright.min() > WHITE * white):
        return None
    if len(colours) == 1:
        return light >= white / 2
    if len(colours) == 2:
        return np.arange(2) == light.argmax()
    if values.numbers.dtype.kind == "f" and white == 1:
        return light >= 0.5
    if alike:
        return None
    way = bright - dark
    along = (colours - dark) @ way / (way @ way)
    beside = np.linalg.norm(colours - dark - along[:, None] * way, axis=1) > np.linalg.norm(way) / 4
    of_each = counts[counts > 0]
    found = along >= 0.5
    return found if of_each[beside].sum() <= of_each[found & ~beside].sum() / 4 else None


def described(values: Values) -> str:
    """What a mask holds, in words: "two values, 0 and 1", "254 values from 0 to 253", "2 colours, #ff0000, #00ff00"."""
    shown = values.numbers if values.opaque is None else values.numbers[values.opaque]
    if not shown.size:
        return "nothing that is opaque"
    _, _, colours = palette(shown, values.numbers.ndim == 3)
    count, of = len(colours), "" if values.opaque is None else " in what is opaque"
    if colours.shape[1] == 1:
        names = [f"{number:g}" for number in colours[:, 0]]
        kind = "one value" if count == 1 else f"{count} values"
        return f"{kind}, {' and '.join(names)}{of}" if count <= 2 else f"{kind} from {names[0]} to {names[-1]}{of}"
    names = ["#" + "".join(f"{round(255 * part / values.white):02x}" for part in colour) for colour in colours[:2]]
    if count <= 2:
        return f"{'one colour' if count == 1 else '2 colours'}, {' and '.join(names)}{of}"
    return f"{count} colours{of}" + (", as a photo does" if count > MANY else "")


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
            f"{name} is {own[1]} x {own[0]} pixels but the photo is {size[1]} x {size[0]}: "
            "a mask must have the size of the photo, seen upright."
        )


def checked_mask(marked: Marked, size: tuple[int, int], name: str, values: Values | None = None) -> Marked:
    """Returns the mask itself if a photo of that size can be filled with it, else raises a UserError that names it.

    Args:
        values: what the mask holds, if the sentence is to say it.
    """
    check_size(marked.shape, size, name)
    if marked.any() and not marked.all():
        return marked
    holds = "" if values is None else f", for it holds {described(values)}"
    if not marked.any():
        raise UserError(f"{name} is empty{holds}: paint what is to be removed white (or add or drop --invert).")
    raise UserError(f"{name} marks the whole photo{holds}: mark less (or add or drop --invert).")
