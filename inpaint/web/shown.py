"""Makes what a browser can show of a photo, of a part of it, and of a mask over it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from inpaint.imaging.box import Box
from inpaint.imaging.marked import Marked
from inpaint.photo.enlarge import Enlarged
from inpaint.photo.photo import Photo, rgb_from_pixels, to_8_bit

MOST_PIXELS = 32_000_000  # of a picture that browsers show smoothly: larger ones are halved
MOST_A_SIDE = 32_000  # of a JPEG, and of what browsers show
RED = (230, 20, 50)
MARKED, ENLARGED = 140, 80  # opacity, of 255
LEVELS = 100  # of the enlargement's opacity


class Shown(NamedTuple):
    """A picture file."""

    path: Path
    media_type: str


def show(photo: Photo, path: Path, box: Box | None = None) -> Shown:
    """Writes a JPEG of 8 bits, in the photo's colours, or a PNG where it is transparent; of a box, or all."""
    pixels = photo.pixels if box is None else photo.pixels[box.slices]
    while pixels.shape[0] * pixels.shape[1] > MOST_PIXELS or max(pixels.shape[:2]) > MOST_A_SIDE:
        pixels = pixels[::2, ::2]
    profile, mode = photo.info.get("icc_profile", b""), photo.mode
    if mode == "CMYK":  # by bands, for floats take much memory
        bands = np.array_split(pixels, max(1, pixels.shape[0] // 256))
        colours = (rgb_from_pixels(band, mode, profile).permute(1, 2, 0).numpy() for band in bands)
        pixels = np.concatenate([(255 * colour).round().astype(np.uint8) for colour in colours])
        mode, profile = "RGB", b""
    pixels = np.ascontiguousarray(to_8_bit(pixels))
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    if mode.endswith("A") and pixels[..., -1].min() < 255:
        image.save(path, "PNG", compress_level=1, icc_profile=profile or None)
        return Shown(path, "image/png")
    image = image.convert(mode.removesuffix("A"))
    image.save(path, "JPEG", quality=93, subsampling=0, icc_profile=profile or None)
    return Shown(path, "image/jpeg")


def write_overlay(marked: Marked, mask: Enlarged, box: Box, path: Path) -> None:
    """Writes a PNG of a box: red over what is marked; fainter, fading as the fill will, over its enlargement."""
    weights = mask.weights[box.slices]
    levels = np.where(marked[box.slices], LEVELS + 1, (weights.astype(np.uint16) * LEVELS + 254) // 255)
    image = Image.fromarray(levels.astype(np.uint8))
    image.putpalette(RED * (LEVELS + 2))
    opacity = [round(ENLARGED * level / LEVELS) for level in range(LEVELS + 1)]
    image.save(path, "PNG", compress_level=1, transparency=bytes([*opacity, MARKED]))


def extent(there: Marked) -> Box:
    """The smallest box that holds all pixels that are True, of which there is one at least."""
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
