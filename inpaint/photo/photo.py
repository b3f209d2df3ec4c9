"""Holds a photo in memory, with what its file said beside the pixels; converts pixels to RGB and back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from inpaint.photo.cmyk import inks_from_rgb, rgb_from_inks


@dataclass(frozen=True)
class Photo:
    """An upright photo in its own colours and depth."""

    pixels: np.ndarray  # [height, width, channels], uint8 or uint16
    mode: str  # what the channels are: L, LA, RGB, RGBA or CMYK
    format: str | None = None  # of the file, as Pillow names it
    exif: bytes = b""  # as it stands in the file, but upright and without thumbnails, which show what is removed
    info: dict[str, Any] = field(default_factory=dict)  # icc_profile, xmp (cleaned in the same way), dpi, comment
    jpeg: dict[str, Any] = field(default_factory=dict)  # quantisation and subsampling, so that it keeps its quality
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # those of a PNG which stay valid whatever its pixels
    photoshop: bytes = b""  # image resources of Photoshop, among them IPTC; cleaned in the same way
    dropped: tuple[str, ...] = ()  # short names of what else its file held, which reading leaves out

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def colours(self) -> int:
        """How many channels are colour; one more is transparency."""
        return len(self.mode.removesuffix("A"))

    @property
    def alpha(self) -> Shaped[np.ndarray, "height width"] | None:
        """The transparency, 0 where the photo is clear; None if it has none."""
        return self.pixels[..., -1] if self.mode.endswith("A") else None

    def to_image(self) -> Image.Image:
        """A Pillow image of 8 bits a channel (grey may have 16); EXIF, ICC profile and the like stand in its `info`."""
        pixels = self.pixels if self.mode == "L" else to_8_bit(self.pixels)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, None)
        if self.mode == "CMYK":
            image = Image.frombytes("CMYK", image.size, pixels.tobytes())
        image.info.update(self.info | ({"exif": self.exif} if self.exif else {}))
        return image


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Rounds 16 bits a channel to 8; 8 bits stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def rgb_from_pixels(pixels: np.ndarray, mode: str, profile: bytes = b"") -> Float[Tensor, "3 height width"]:
    """Converts a part of a photo, whose channels are those of `mode`, to RGB in [0, 1]; transparency is left out.

    Args:
        profile: of the photo: what its inks look like, if it is CMYK.
    """
    if mode == "CMYK":
        return torch.from_numpy(rgb_from_inks(pixels, profile)).permute(2, 0, 1).contiguous()
    values = torch.from_numpy(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max).permute(2, 0, 1).contiguous()
    return values[:3] if mode.startswith("RGB") else values[:1].expand(3, -1, -1)


def colours_from_rgb(
    picture: Float[Tensor, "3 height width"], mode: str, profile: bytes = b"", black: float = 0
) -> Float[np.ndarray, "height width colours"]:
    """Converts RGB to the colour channels of `mode`, in [0, 1]; the inverse of `rgb_from_pixels`.

    Args:
        black: see `inks_from_rgb`.
    """
    values = picture.permute(1, 2, 0).float().cpu().numpy()
    if mode == "CMYK":
        return inks_from_rgb(values, profile, black)
    return values if mode.startswith("RGB") else values.mean(-1, keepdims=True)


def array_from_tensor(values: Tensor) -> np.ndarray:
    """Converts any tensor to an array, floats to float32."""
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()  # numpy knows no bfloat16


def blend(
    old: np.ndarray, new: Float[np.ndarray, "rows columns colours"], weights: UInt8[np.ndarray, "rows columns"]
) -> np.ndarray:
    """Mixes new colours ([0, 1]) into old ones; a weight of 255 takes the new one, one of 0 keeps every bit."""
    largest = np.iinfo(old.dtype).max
    share = weights[..., None].astype(np.float32) / 255
    mixed = (share * new * largest + (1 - share) * old).round().clip(0, largest).astype(old.dtype)
    return np.where(weights[..., None] > 0, mixed, old)
