"""Says which pixels a mask marks, whatever its values: two of anything, soft edges, colours, transparency."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from PIL import Image

from inpaint.errors import UserError
from inpaint.imaging.reading import upright_image

Marked = Bool[np.ndarray, "height width"]
"""The pixels of a picture that a mask marks."""
FAINT = 1 / 8  # of the range, at least, between the darkest and the brightest of more than two values
BLACK, WHITE = 0.25, 0.75  # of the range: every channel of what counts as black is below, of what counts as white above
MANY = 256  # colours: more are a photo's
LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue


class Values(NamedTuple):
    """What a mask holds."""

    numbers: Shaped[np.ndarray, "height width *channels"]  # grey levels, labels or shares; or red, green and blue
    white: float  # the number that is white
    opaque: Marked | None = None  # where transparency varies: the pixels that are at least half opaque


def values_of_image(image: Image.Image) -> Values:
    """The values of a Pillow image, upright; of a palette whose entries look the same, its indices."""
    image = upright_image(image)
    if image.mode.startswith("I") or image.mode == "F":
        numbers = np.asarray(image)
        if not np.isfinite(numbers).all():
            raise UserError("The mask holds values that are not finite (NaN or infinity).")
        deep = 65535 if image.mode.startswith("I") else 1
        return Values(numbers, deep if numbers.max(initial=0) <= deep else 255)
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return Values(np.asarray(image.convert("L")), 255)
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
            f"{name} cannot be understood as a mask, because it holds {described(values)}: paint what is to be removed "
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
