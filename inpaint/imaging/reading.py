"""Reads picture files of any kind as RGB, and writes them."""

import io
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, features
from torch import Tensor

from inpaint.errors import UserError, first_line
from inpaint.files import atomic
from inpaint.imaging.pixels import Picture

SUFFIXES = (  # of still pictures that can be read, in any case
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff", ".webp", ".gif"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    *(".bmp", ".dib", ".ico", ".cur", ".icns", ".pbm", ".pgm", ".ppm", ".pnm", ".psd", ".tga", ".pcx", ".pcd"),
    *(".sgi", ".rgb", ".rgba", ".bw", ".ras", ".qoi", ".dds", ".xbm", ".xpm"),
)
RUN_PROGRAMS = {"EPS", "WMF"}  # of Pillow's formats: PostScript is a program, which anyone may have written
PILLOWS_BOUND = threading.Lock()  # held while it is lifted
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
AVIF_BRANDS = {b"avif", b"avis"}
BRANDS_OF_EITHER = {b"mif1", b"msf1"}


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
                image = _open_heic(path) if _is_heic(path) else Image.open(path, formats=_formats())
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


@cache
def _formats() -> list[str]:
    """Pillow's names of the formats that are read: all but those of which reading is running."""
    Image.init()
    return [name for name in Image.ID if name not in RUN_PROGRAMS]


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
        raise UserError(_why_unreadable(path)) from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise UserError(f"{path} cannot be read as a picture: {first_line(error)}") from None


def _brands(path: str | Path) -> set[bytes]:
    """The brands that a file made of boxes says that it is of: HEIC, AVIF, many videos; none of any other file."""
    with Path(path).open("rb") as file:
        head = file.read(256)
    if head[4:8] != b"ftyp":
        return set()
    return {head[8:12], *(head[at : at + 4] for at in range(16, int.from_bytes(head[:4]), 4))}


def _is_heic(path: str | Path) -> bool:
    brands = _brands(path)
    return bool(brands & HEIC_BRANDS) or bool(brands & BRANDS_OF_EITHER and not brands & AVIF_BRANDS)


def _open_heic(path: str | Path) -> ImageFile.ImageFile:
    """Opens a HEIC picture, which takes a package of its own; that one turns it upright, and tells so in its EXIF."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise UserError(
            f"{path} is a HEIC picture, which takes another package: pip install 'neural-patch-synthesis[heif]'."
        ) from None
    return HeifImageFile(path)


def _why_unreadable(path: str | Path) -> str:
    """Says what is wrong with a file that Pillow cannot identify."""
    if _brands(path) & AVIF_BRANDS and not features.check("avif"):
        return f"{path} is an AVIF picture, which the installed Pillow cannot read: pip install --upgrade pillow."
    with Path(path).open("rb") as file:
        if not (first := file.read(4)):
            return f"{path} is empty."
        if first in (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"):
            return (
                f"{path} is a TIFF that is damaged, or whose kind of pixels cannot be read: "
                "save it with 8 bits a channel, or as a PNG."
            )
    return f"{path} is not a picture in a format that can be read: save it as JPEG, PNG or TIFF first."


def holds_16_bit_grey(image: Image.Image) -> bool:
    """Whether a Pillow image is grey of 16 bits, or of 12, which are read as 16."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def grey_16(image: Image.Image) -> UInt16[np.ndarray, "height width"]:
    """The values of 16-bit grey as a viewer shows them: 0 is black, and 65535 white; turned as Pillow gives them.

    Pillow gives them as a TIFF holds them, where 0 may be white, and 12 bits may reach up to 4095.
    """
    return _as_shown(np.asarray(image), image)


def upright_image(image: Image.Image) -> Image.Image:
    """Turns a Pillow image as its EXIF says; 16-bit grey and floating-point numbers become what viewers show.

    It stands for `ImageOps.exif_transpose`, whose result does not tell any more what the values mean.
    """
    turned = ImageOps.exif_transpose(image)
    if holds_16_bit_grey(image):
        return Image.fromarray(_as_shown(np.asarray(turned), image))
    if image.mode == "F" and _white_is_zero(image):
        return Image.fromarray(1 - np.asarray(turned))
    return turned.convert("LA") if image.mode == "La" else turned  # all else that Pillow could do with La is fail


def _as_shown(values: np.ndarray, image: Image.Image) -> UInt16[np.ndarray, "height width"]:
    """Scales and inverts the values of 16-bit grey, turned or not, as the image that they come from says."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
        values = (values.astype(np.uint32) * 65535 + 2047) // 4095
    values = values.astype(np.uint16)
    return 65535 - values if _white_is_zero(image) else values


def _white_is_zero(image: Image.Image) -> bool:
    """Whether 0 is white; of 8 bits and fewer Pillow inverts that itself."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0


def upright_size(path: str | Path) -> tuple[int, int]:
    """The height and width of a picture file as `read_pixels` gives them, by its header alone; raises as `opened`."""
    with opened(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turns any Pillow image into upright 8-bit RGB: EXIF rotation applied, 16 bits scaled to 8, white where clear."""
    image = upright_image(image)
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
