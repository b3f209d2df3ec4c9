"""Reads picture files of any kind as RGB, and writes them."""

import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageFile, ImageOps
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import atomic

LEFT_OVER = "extraneous bytes before marker 0xd9"
"""How libjpeg complains of data between the last row that it was asked for and the end."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as upright 8-bit RGB: EXIF rotation applied, 16 bits scaled to 8, white where clear."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow's own conversion would clip at 255
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray((values * (255 / 65535)).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_tensor(image: Image.Image) -> Float[Tensor, "3 height width"]:
    """An RGB Pillow image as a picture in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous() / 255


def read_pixels(
    path: str | Path, enough: float | None = None, rows: Callable[[int, int], int] | None = None
) -> UInt8[Tensor, "3 height width"]:
    """The picture in a file, upright, as 8-bit RGB, whatever the file holds (grey, palette, CMYK, 16-bit, alpha).

    Args:
        enough: pixels of the shorter side that will do, where speed counts more than the last bits: a JPEG is then
            decoded by the faster arithmetic, and at a half, a quarter or an eighth of its size if that is enough.
        rows: with `enough`, how many rows will be looked at, from the height and width of what is returned: those
            below may hold anything, for a JPEG is decoded from the top.

    Raises:
        UserError: the file is missing, is no picture, is cut short, or declares more pixels than Pillow's bound.
    """
    try:
        if (jpeg := read_jpeg(Path(path), enough, rows)) is not None:
            return jpeg
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return torch.from_numpy(np.array(to_rgb(image))).permute(2, 0, 1)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path} declares more pixels than can be read safely: {error}") from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise UserError(f"{path} cannot be read as a picture: {error or type(error).__name__}") from None


def read_jpeg(
    path: Path, enough: float | None = None, rows: Callable[[int, int], int] | None = None
) -> UInt8[Tensor, "3 height width"] | None:
    """What `read_pixels` makes of a plain JPEG, in two thirds of Pillow's time or less; None for what it is not.

    The pixels are Pillow's, unless less than all of them is `enough`.

    Plain is grey or RGB, upright, and of a size that Pillow takes.

    Raises:
        FileNotFoundError: the file is missing.
    """
    data = path.read_bytes()
    if not data.startswith(b"\xff\xd8"):
        return None
    with suppress(ValueError):  # what it refuses is left to Pillow, and to Pillow's words
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "RGB", "Gray") or height * width > (Image.MAX_IMAGE_PIXELS or math.inf):
            return None
        if _has_metadata(data):
            with Image.open(io.BytesIO(data)) as image:
                if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                    return None
        if enough is None:
            return torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1)
        parts = max(part for part in (1, 2, 4, 8) if part == 1 or min(height, width) >= part * enough)
        size = (math.ceil(height / parts), math.ceil(width / parts))
        above = data if rows is None else _above(data, rows(*size) * parts)
        reach = simplejpeg.decode_jpeg_header(above)[0]
        whole = np.empty((*size, 3), np.uint8)
        options = {"min_height": math.ceil(reach / parts), "min_width": size[1], "fastdct": True, "fastupsample": True}
        try:
            simplejpeg.decode_jpeg(above, **options, buffer=whole)
        except ValueError as complaint:  # of the rows left over, when those asked for are there; else of damage
            if reach == height or LEFT_OVER not in str(complaint):
                return None
        return torch.from_numpy(whole).permute(2, 0, 1)
    return None


def _above(jpeg: bytes, row: int) -> bytes:
    """The JPEG with its height lowered to just below a row, so that decoding ends there; the same where it cannot be.

    A progressive one does not come from the top, one without an end has been cut short, and one with restarts would
    be complained of in words that damage has as well.
    """
    places = dict(_segments(jpeg))
    at = places.get(0xC0) or places.get(0xC1)
    if at is None or 0xDD in places or not jpeg.endswith(b"\xff\xd9"):
        return jpeg
    height = (row // 16 + 2) * 16  # whole blocks, and one more: the decoder looks beyond a block's end
    if height >= int.from_bytes(jpeg[at + 5 : at + 7]):
        return jpeg
    return jpeg[: at + 5] + height.to_bytes(2) + jpeg[at + 7 :]


def _has_metadata(jpeg: bytes) -> bool:
    """Whether EXIF or XMP, which may turn the picture, stand among its segments (APP1), or may do so unseen."""
    return any(marker in (0xE1, 0xFF) for marker, _ in _segments(jpeg))


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers before the scan and their places; 0xFF, the last one, where bytes that fill up hide the others."""
    at = 2
    while jpeg[at : at + 1] == b"\xff" and (marker := jpeg[at + 1]) != 0xDA:
        yield marker, at
        if marker == 0xFF:
            return
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])


def read_picture(path: str | Path) -> Float[Tensor, "3 height width"]:
    """The same in [0, 1]. Raises as `read_pixels` does."""
    return read_pixels(path).contiguous() / 255


def write_picture(picture: Float[Tensor, "3 height width"], path: str | Path) -> None:
    """Writes a picture as 8-bit RGB in the format that the suffix names; values outside [0, 1] are clamped."""
    array = (picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic(path) as beside:
        Image.fromarray(array).save(beside, quality=95)


PILLOWS_BOUND = threading.Lock()  # held while it is lifted


@contextmanager
def opened(path: str | Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """A picture file, of which only the header has been read.

    Raises:
        UserError: also for whatever goes wrong inside the `with`, in Pillow: a file that is missing, no picture, cut
            short, or larger than `max_pixels`.
    """
    try:
        with header(path) as image:
            if image.width * image.height > max_pixels:
                raise UserError(
                    f"{path} declares {image.width} x {image.height} pixels, more than the {max_pixels} that are read: "
                    "if it is a picture to be trusted, raise --max-pixels (max_pixels)."
                )
            yield image
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path} does not fit into memory: make it smaller.") from None
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, and a picture is expected there.") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path} is not a picture in a format that can be read.") from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise UserError(f"{path} cannot be read as a picture: {error or type(error).__name__}") from None


def header(path: str | Path) -> ImageFile.ImageFile:
    """A picture file whose pixels have not been read, however many it declares.

    Pillow's own bound holds for the whole process, so it is lifted for this moment only.
    """
    with PILLOWS_BOUND:
        bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = bound
