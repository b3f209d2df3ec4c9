"""Reads picture files of any kind as RGB, and writes them."""

import io
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFile, ImageOps
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging.pixels import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm")  # of pictures, any case
PILLOWS_BOUND = threading.Lock()  # held while it is lifted


@contextmanager
def opened(path: str | Path, max_pixels: int | None = None) -> Iterator[ImageFile.ImageFile]:
    """Opens a picture file and reads its header; its pixels are read when they are asked for.

    Raises:
        UserError: the file is missing, is no picture, is damaged (also where Pillow notices inside the `with`), or
            declares more than `max_pixels`; None is Pillow's bound, 89 million.
    """
    with _one_sentence(path):
        with PILLOWS_BOUND:  # it holds for the whole process, and its sentences do not say what to do
            bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = bound
        with image:
            allowed = max_pixels or bound or math.inf
            if image.width * image.height > allowed:
                size = f"{path} declares {image.width} x {image.height} pixels, more than the {allowed} that are read"
                if max_pixels is None:
                    raise UserError(f"{size}: make it smaller.")
                raise UserError(f"{size}: if it is a picture to be trusted, raise --max-pixels (max_pixels).")
            yield image


@contextmanager
def _one_sentence(path: str | Path) -> Iterator[None]:
    """Turns what goes wrong in reading a picture file into a UserError."""
    try:
        yield
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


def to_rgb(image: Image.Image) -> Image.Image:
    """Turns any Pillow image into upright 8-bit RGB: EXIF rotation applied, 16 bits scaled to 8, white where clear."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow's own conversion would clip at 255
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray((values * (255 / 65535)).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_tensor(image: Image.Image) -> Picture:
    """Turns an RGB Pillow image into a picture in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous() / 255


def to_image(picture: Picture) -> Image.Image:
    """Turns a picture into an RGB Pillow image; values outside [0, 1] are clamped."""
    return Image.fromarray((picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def read_pixels(path: str | Path, enough: float | None = None) -> UInt8[Tensor, "3 height width"]:
    """Reads a file as upright 8-bit RGB, whatever it holds (grey, palette, CMYK, 16-bit, alpha).

    Args:
        enough: pixels of the shorter side that will do, where speed counts more than the last bits: a JPEG is then
            decoded by the faster arithmetic, and at a half, a quarter or an eighth of its size if that is enough.

    Raises:
        UserError: the file is missing, is no picture, is damaged, or declares more pixels than Pillow's bound.
    """
    with _one_sentence(path):
        pixels = _read_jpeg(Path(path), enough)
        if pixels is None:
            with opened(path) as image:
                pixels = torch.from_numpy(np.array(to_rgb(image))).permute(2, 0, 1)
        return pixels


def _read_jpeg(path: Path, enough: float | None) -> UInt8[Tensor, "3 height width"] | None:
    """Reads a JPEG that is grey or RGB and upright, in two thirds of Pillow's time or less; None for any other file.

    Without `enough` the pixels are Pillow's.
    """
    data = path.read_bytes()
    if not data.startswith(b"\xff\xd8"):
        return None
    with suppress(ValueError):  # what the decoder refuses is left to Pillow, and to Pillow's words
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "RGB", "Gray") or height * width > (Image.MAX_IMAGE_PIXELS or math.inf):
            return None
        if b"\xff\xe1" in data:  # the marker of EXIF and XMP, either of which may turn the picture
            with Image.open(io.BytesIO(data)) as image:
                if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                    return None
        faster = {}
        if enough is not None:
            parts = max(part for part in (1, 2, 4, 8) if part == 1 or min(height, width) >= part * enough)
            smaller = {"min_height": math.ceil(height / parts), "min_width": math.ceil(width / parts)}
            faster = {**smaller, "fastdct": True, "fastupsample": True}
        return torch.from_numpy(simplejpeg.decode_jpeg(data, **faster)).permute(2, 0, 1)
    return None


def read_picture(path: str | Path) -> Picture:
    """Reads a file as `read_pixels` does, as a picture in [0, 1]."""
    return read_pixels(path).contiguous() / 255


def write_picture(picture: Picture, path: str | Path) -> None:
    """Writes a picture as 8-bit RGB in the format that the suffix names; values outside [0, 1] are clamped."""
    with atomic(path) as beside:
        to_image(picture).save(beside, quality=95)
