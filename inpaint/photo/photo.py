"""A person's photo in memory: its pixels in their own colours and depth, and what its file said beside them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Photo:
    """An upright photo in its own colours and depth.

    Attributes:
        pixels: [height, width, channels], uint8 or uint16.
        mode: what the channels are: L, LA, RGB, RGBA or CMYK.
        format: of the file, as Pillow names it; None if there is no file.
        exif: as it stands in the file, but upright and without the thumbnail (which shows what is being removed).
        info: what else goes back into a file: icc_profile, xmp, dpi, comment.
        jpeg: quantisation and subsampling of a JPEG, so that it keeps its quality.
        chunks: the chunks of a PNG which stay valid whatever its pixels.
    """

    pixels: np.ndarray
    mode: str
    format: str | None = None
    exif: bytes = b""
    info: dict[str, Any] = field(default_factory=dict)
    jpeg: dict[str, Any] = field(default_factory=dict)
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def top(self) -> int:
        """The largest value of a channel."""
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def colours(self) -> int:
        """How many channels are colour; one more is transparency."""
        return len(self.mode.removesuffix("A"))

    def with_pixels(self, pixels: np.ndarray) -> "Photo":
        return replace(self, pixels=pixels)

    def to_image(self) -> Image.Image:
        """8 bits a channel (grey may have 16); EXIF, ICC profile and the like stand in its `info`."""
        pixels = self.pixels
        if pixels.dtype == np.uint16 and self.mode != "L":
            pixels = to_8_bit(pixels)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, None)
        if self.mode == "CMYK":
            image = Image.frombytes("CMYK", image.size, pixels.tobytes())
        image.info.update(self.info | ({"exif": self.exif} if self.exif else {}))
        return image


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """0 to 65535 as 0 to 255, rounded."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_rgb(pixels: np.ndarray, mode: str) -> Float[Tensor, "1 3 height width"]:
    """A part of a photo as RGB in [0, 1]; transparency is left out."""
    values = torch.from_numpy(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max).permute(2, 0, 1)[None]
    if mode == "CMYK":
        return (1 - values[:, :3]) * (1 - values[:, 3:])  # as Pillow does
    return values[:, :3] if mode.startswith("RGB") else values[:, :1].expand(-1, 3, -1, -1)


def from_rgb(picture: Float[Tensor, "1 3 height width"], mode: str) -> Float[np.ndarray, "height width colours"]:
    """The colour channels of a photo of that mode, in [0, 1]; the inverse of `to_rgb`."""
    values = picture[0].permute(1, 2, 0).float().cpu().numpy()
    if mode == "CMYK":
        return np.concatenate([1 - values, np.zeros_like(values[..., :1])], axis=-1)
    return values if mode.startswith("RGB") else values.mean(-1, keepdims=True)


def from_tensor(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()  # numpy knows no bfloat16


def blend(
    old: np.ndarray, new: Float[np.ndarray, "rows columns colours"], weights: UInt8[np.ndarray, "rows columns"]
) -> np.ndarray:
    """Colour channels with `new` ([0, 1]) in them, weights of 255 for all of it; weights of 0 keep every bit."""
    top = np.iinfo(old.dtype).max
    share = weights[..., None].astype(np.float32) / 255
    mixed = (share * new * top + (1 - share) * old).round().clip(0, top).astype(old.dtype)
    return np.where(weights[..., None] > 0, mixed, old)
