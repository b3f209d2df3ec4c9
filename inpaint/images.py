"""Reading and writing pictures, and the few operations on whole pictures that both stages share.

A picture is RGB in [0, 1], float32, [3, height, width]; a mask is 1 in the hole and 0 elsewhere, [1, height, width].
"""

import io
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from inpaint.errors import UserError

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


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it on success and removed on failure: no half-written files.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_picture(picture: Float[Tensor, "3 height width"], path: str | Path) -> None:
    """Writes a picture as 8-bit RGB in the format that the suffix names; values outside [0, 1] are clamped."""
    array = (picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic(path) as beside:
        Image.fromarray(array).save(beside, quality=95)


def resize(
    picture: Shaped[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Shaped[Tensor, "batch channels new_height new_width"]:
    """Bilinear, antialiased when shrinking; of 8-bit values as well, which is faster, and rounded."""
    if picture.shape[-2:] == size:
        return picture
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)


def resize_masked(
    picture: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
    size: tuple[int, int],
) -> tuple[Float[Tensor, "batch 3 new_height new_width"], Float[Tensor, "batch 1 new_height new_width"]]:
    """The known pixels at another size, with no colour from the hole in them, and the mask at that size.

    A new pixel is the mean of the *known* pixels around it: picture x validity and validity are resized, then divided.
    A new pixel belongs to the hole as soon as any pixel that it covers does; there the result is 0.
    """
    hole = F.adaptive_max_pool2d(mask, size)
    known = resize(picture * (1 - mask), size) / resize(1 - mask, size).clamp(min=1e-6)
    return known * (1 - hole), hole


def composite(
    picture: Float[Tensor, "*batch 3 height width"],
    prediction: Float[Tensor, "*batch 3 height width"],
    mask: Float[Tensor, "*batch 1 height width"],
) -> Float[Tensor, "*batch 3 height width"]:
    """The prediction in the hole, the picture elsewhere."""
    return mask * prediction + (1 - mask) * picture


def neighbours(x: Float[Tensor, "*rest height width"]) -> Float[Tensor, "*rest height width"]:
    """The sum of each pixel's four neighbours; beyond the border is 0."""
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]


def seamless(
    picture: Float[Tensor, "batch 3 height width"],
    filled: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
    reach: int = 4,
) -> Float[Tensor, "batch 3 height width"]:
    """The filled picture with no step at the hole's border: seamless cloning (Perez et al. 2003), screened.

    A correction c inside the hole makes the step between a pixel of the hole and a known neighbour as small as c's own
    steps allow, and fades inside by e every `reach` pixels: it minimises the sum of squared differences of c between
    neighbours (on a known neighbour, c is what the filled pixel lacks there) and of c^2 / reach^2. Unscreened, one
    wrong colour at the border would tint the whole hole. Optimised pixels are noisiest at the border: the steps from
    the outermost to those behind them, too, lose a third.
    """
    rows, columns = mask.amax((0, 1, 3)).nonzero().flatten(), mask.amax((0, 1, 2)).nonzero().flatten()
    if not len(rows):
        return picture
    down, across = (slice(max(int(line[0]) - 1, 0), int(line[-1]) + 2) for line in (rows, columns))
    box = (..., down, across)
    near, hole = picture[box], mask[box]
    known = neighbours(1 - hole)
    pull = neighbours(near * (1 - hole)) - known * filled[box]
    outermost = hole * (known > 0)
    behind = hole - outermost
    for one, other in ((outermost, behind), (behind, outermost)):
        pull += one / 3 * (neighbours(other * filled[box]) - neighbours(other) * filled[box])
    degree = neighbours(torch.ones_like(hole)) + reach**-2
    correction = torch.zeros_like(near)
    for _ in range(16 * reach):  # Jacobi: by then what is left to spread has faded
        correction = hole * (neighbours(correction) + pull) / degree
    out = picture.clone()
    out[box] = composite(near, (filled[box] + correction).clamp(0, 1), hole)
    return out


def diffuse(
    picture: Float[Tensor, "batch channels height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch channels height width"]:
    """The picture with its hole filled smoothly: about the solution of Laplace's equation.

    From coarse to fine: the hole of the picture at half the size, filled likewise and doubled, then a few Jacobi
    steps. What stands in the hole is not looked at; with no known pixel at all it becomes 0.
    """
    known = picture * (1 - mask)
    if max(picture.shape[-2:]) == 1:
        return known
    shown = F.avg_pool2d(1 - mask, 2, ceil_mode=True)
    half = F.avg_pool2d(known, 2, ceil_mode=True) / shown.clamp(min=1e-6)
    doubled = F.interpolate(
        diffuse(half, (shown == 0).to(mask.dtype)), size=picture.shape[-2:], mode="bilinear", align_corners=False
    )
    share = mask / neighbours(torch.ones_like(mask[:1]))
    filled = torch.addcmul(known, mask, doubled)
    for _ in range(4):
        filled = torch.addcmul(known, share, neighbours(filled))
    return filled


def middle(x: Float[Tensor, "*rest height width"]) -> Float[Tensor, "*rest half_height half_width"]:
    """Rows and columns from 1/4 to 3/4: what the content network predicts."""
    height, width = x.shape[-2:]
    return x[..., height // 4 : height - height // 4, width // 4 : width - width // 4]
