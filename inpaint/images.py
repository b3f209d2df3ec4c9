"""Reading and writing pictures, and the few operations on whole pictures that both stages share.

A picture is RGB in [0, 1], float32, [3, height, width]; a mask is 1 in the hole and 0 elsewhere, [1, height, width].
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from inpaint.errors import UserError


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
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


def read_picture(path: str | Path) -> Float[Tensor, "3 height width"]:
    """The picture in a file, upright, as RGB in [0, 1], whatever the file holds (grey, palette, CMYK, 16-bit, alpha).

    Raises:
        UserError: the file is missing, is no picture, is cut short, or declares more pixels than Pillow's bound.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return to_tensor(to_rgb(image))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path} declares more pixels than can be read safely: {error}") from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise UserError(f"{path} cannot be read as a picture: {error or type(error).__name__}") from None


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it on success and removed on failure: no half-written files."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_picture(picture: Float[Tensor, "3 height width"], path: str | Path) -> None:
    """Writes a picture as 8-bit RGB in the format that the suffix names; values outside [0, 1] are clamped."""
    array = (picture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic(path) as beside:
        Image.fromarray(array).save(beside, quality=95)


def resize(
    picture: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Bilinear, antialiased when shrinking."""
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
    reach: float = 2.0,
) -> Float[Tensor, "batch 3 height width"]:
    """The filled picture with no step at the hole's border: seamless cloning (Perez et al. 2003), screened.

    A correction takes the pixels on the hole's border to the mean of their known neighbours, and fades inside by e
    every `reach` pixels: (laplacian - 1 / reach^2) c = 0. Unscreened, one wrong colour at the border would tint the
    whole hole.
    """
    known = neighbours(1 - mask) * mask  # how many known neighbours
    border = (known > 0).to(mask.dtype)
    mismatch = (neighbours(picture * (1 - mask)) / known.clamp(min=1) - filled) * border
    correction = mismatch
    for _ in range(round(8 * reach)):  # Jacobi: by then it has faded to nothing
        correction = mismatch + (mask - border) * neighbours(correction) / (4 + reach**-2)
    return composite(picture, (filled + correction).clamp(0, 1), mask)


def middle(x: Float[Tensor, "*rest height width"]) -> Float[Tensor, "*rest half_height half_width"]:
    """Rows and columns from 1/4 to 3/4: what the content network predicts."""
    height, width = x.shape[-2:]
    return x[..., height // 4 : height - height // 4, width // 4 : width - width // 4]
