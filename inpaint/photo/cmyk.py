"""Converts CMYK to RGB and back: through the photo's own profile, or by the plain formula where it has none."""

import io
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageCms

Inks = Shaped[np.ndarray, "height width 4"]  # of 8 bits, or 16
Colours = Float[np.ndarray, "height width 3"]


def rgb_from_inks(inks: Inks, profile: bytes = b"") -> Colours:
    """What inks look like, as sRGB in [0, 1]."""
    if (transforms := through(profile)) is not None and inks.dtype == np.uint8:
        image = Image.frombytes("CMYK", (inks.shape[1], inks.shape[0]), np.ascontiguousarray(inks).tobytes())
        return np.asarray(ImageCms.applyTransform(image, transforms[0]), dtype=np.float32) / 255
    shares = 1 - inks.astype(np.float32) / np.iinfo(inks.dtype).max
    return shares[..., :3] * shares[..., 3:]  # as Pillow does


def inks_from_rgb(rgb: Colours, profile: bytes = b"", black: float = 0) -> Float[np.ndarray, "height width 4"]:
    """The inks, in [0, 1], that look like sRGB in [0, 1].

    Args:
        black: without a profile, how much of the grey that a colour holds is printed in black, see `black_share`.
    """
    if (transforms := through(profile)) is not None:
        image = Image.fromarray((rgb * 255).round().clip(0, 255).astype(np.uint8))
        return np.asarray(ImageCms.applyTransform(image, transforms[1]), dtype=np.float32) / 255
    key = black * (1 - rgb.max(-1, keepdims=True))
    return np.concatenate([1 - rgb / (1 - key).clip(1e-6), key], axis=-1).clip(0, 1)


def black_share(inks: UInt8[np.ndarray, "pixels 4"]) -> float:
    """How much of the grey that colours hold is printed in black, in [0, 1]: each print shop chooses it."""
    shares = 1 - inks.astype(np.float32) / 255
    grey = 1 - (shares[:, :3] * shares[:, 3:]).max(1)
    return float(((1 - shares[:, 3]).sum() / grey.sum()).clip(0, 1)) if grey.any() else 0.0


@lru_cache(maxsize=4)
def through(profile: bytes) -> tuple[ImageCms.ImageCmsTransform, ImageCms.ImageCmsTransform] | None:
    """The conversions from CMYK of a profile to sRGB, and back; None if it does not tell both."""
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        how = (ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION)
        return (
            ImageCms.buildTransform(inks, screen, "CMYK", "RGB", *how),
            ImageCms.buildTransform(screen, inks, "RGB", "CMYK", *how),
        )
    except (OSError, ImageCms.PyCMSError):  # no profile, or one of another kind
        return None
