"""Reads a photo file with all that it holds, and writes the filled one so that only the filled pixels differ."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, TiffImagePlugin
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging.reading import opened
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.exif import upright
from inpaint.photo.photo import Photo, array_from_tensor, to_8_bit
from inpaint.photo.png import encode_png, png_chunks, raw_profile, read_deep

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
KEEPS = {
    "JPEG": {"L", "RGB", "CMYK"},
    "PNG": {"L", "LA", "RGB", "RGBA"},
    "TIFF": {"L", "LA", "RGB", "RGBA", "CMYK"},
    "WEBP": {"L", "LA", "RGB", "RGBA"},
    "BMP": {"L", "RGB", "RGBA"},
}
DESCRIPTIVE = {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853}  # of TIFF's tags; others lay out
XMP_TAG = 700  # of TIFF
PictureLike = str | Path | Image.Image | np.ndarray | Tensor
JPEG_ROOM = {"exif": 65533, "xmp": 65504, "comment": 65533}  # bytes


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """Reads the photo in a file, upright. Palettes are resolved to RGB, 1 bit becomes grey.

    Raises:
        UserError: the file is missing, no picture, cut short or too large; it holds several pictures, 32 bits a
            channel, or 16 bits of colour in anything but a PNG, all of which would come out as less than they were.
    """
    with opened(path, max_pixels) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # of a phone's MPO the first is the photo
            raise UserError(f"{path} holds {frames} pictures: save the one to fill as a file of its own.")
        if image.format == "PNG" and image.tile and image.tile[0].args in ("RGB;16B", "RGBA;16B", "LA;16B"):
            pixels, mode = read_deep(path, str(image.tile[0].args), max_pixels)
            image.load()  # reads the chunks behind the pixels
            return upright(with_metadata(image, path, pixels, mode))
        bits = image.tag_v2.get(258, (8,)) if isinstance(image, TiffImagePlugin.TiffImageFile) else (8,)
        if max(bits) > 8 and not image.mode.startswith("I;16"):
            raise UserError(f"{path} has more than 8 bits a channel, which are kept in PNG only: save it as a PNG.")
        image.load()
        return upright(from_image(image, path))


def from_image(image: Image.Image, path: str | Path = "The picture") -> Photo:
    """Makes a photo of a Pillow image, as it lies (`upright` turns it); `path` is what errors call it."""
    if image.mode in ("I", "F"):
        raise UserError(f"{path} has 32 bits a pixel: save it with 8 or 16.")
    if image.mode.startswith("I;16"):
        return with_metadata(image, path, np.asarray(image).astype(np.uint16)[..., None], "L")
    converted = image
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        converted = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        converted = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.array(converted)
    return with_metadata(image, path, pixels.reshape(*pixels.shape[:2], -1), converted.mode)


def with_metadata(image: Image.Image, path: str | Path, pixels: np.ndarray, mode: str) -> Photo:
    """Makes a photo of pixels and of all that the image that they come from says beside them."""
    info = {key: image.info[key] for key in ("icc_profile", "xmp", "dpi", "comment") if image.info.get(key)}
    if image.mode == "LAB":  # whose profile tells nothing of RGB
        info.pop("icc_profile", None)
    if "xmp" not in info and (text := image.info.get("Raw profile type xmp")):
        with suppress(ValueError):
            info["xmp"] = raw_profile(text)
    jpeg: dict[str, Any] = {}
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        jpeg = {"qtables": image.quantization}  # not "progressive": Pillow cannot write large ones of high quality
        if (sampling := JpegImagePlugin.get_sampling(image)) >= 0:
            jpeg["subsampling"] = sampling
    exif = image.info.get("exif", b"")
    if not exif and (tags := image.getexif()):  # a TIFF's own tags, or those in a PNG's text
        for tag in set(tags) - DESCRIPTIVE:
            del tags[tag]
        exif = tags.tobytes()
    chunks = tuple(png_chunks(path)) if image.format == "PNG" and Path(path).is_file() else ()
    return Photo(pixels, mode, image.format, exif, info, jpeg, chunks)


def writable(path: Path) -> Path:
    """The path itself if its extension names a format that can be written, else with .png."""
    return path if path.suffix.lower() in FORMATS else path.with_suffix(".png")


def target_for(path: Path) -> Path:
    """Names the filled photo if nobody says how: beside the photo, in its format where that can be written."""
    return writable(path).with_stem(f"{path.stem}_filled")


def check_target(path: Path, overwrite: bool) -> None:
    """Checks, before any work, that a photo can be written to `path`, else raises a UserError; makes nothing."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file.")
    if path.suffix.lower() not in FORMATS:
        problem = "an extension that cannot be written" if path.suffix else "no extension, and is no folder that exists"
        raise UserError(f"{path} has {problem}: choose one of {', '.join(FORMATS)}.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give another name with -o, or --overwrite.")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Checks that files can be written to a folder, or that it can be made, else raises a UserError; makes nothing."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is a file, so nothing can be written into {folder}: choose another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing} cannot be written: choose another folder with -o.")


def check_keeps(photo: Photo, path: Path) -> None:
    """Raises a UserError if the format of `path` has no room for the photo's transparency, or for CMYK."""
    if photo.mode not in KEEPS[FORMATS[path.suffix.lower()]]:
        what, suitable = ("is CMYK", ".tif") if photo.mode == "CMYK" else ("has transparency", ".png")
        raise UserError(f"The photo {what}, which {path.suffix} cannot keep: write a {suitable} instead.")


def write_photo(photo: Photo, path: Path) -> None:
    """Writes the photo in the format that the suffix names, whole or, with a UserError, not at all.

    Whatever the format has room for is kept: EXIF, ICC profile, XMP, resolution, comment; the quality of a JPEG (95 if
    it was none); 16 bits in PNG (and grey TIFF), elsewhere 8. All but JPEG are written without loss.
    """
    kind = FORMATS[path.suffix.lower()]
    with atomic(path) as temporary:
        if kind == "PNG":
            temporary.write_bytes(encode_png(photo))
            return
        keeps_depth = kind == "TIFF" and photo.mode == "L"
        image = (photo if keeps_depth else replace(photo, pixels=to_8_bit(photo.pixels))).to_image()
        image.info.clear()  # Pillow takes some of it unasked
        options = dict(photo.info)
        if photo.exif:
            options["exif"] = photo.exif
        if kind == "JPEG":
            options |= photo.jpeg or {"quality": 95, "subsampling": 0}
            for name, most in JPEG_ROOM.items():
                if len(options.get(name, b"")) > most:
                    del options[name]
        elif kind == "WEBP":
            options |= {"lossless": True, "exact": True}
        elif kind == "TIFF":
            tags = Image.Exif()
            tags.load(photo.exif)
            if packet := options.pop("xmp", None):
                tags[XMP_TAG] = packet
            options |= {"compression": "tiff_adobe_deflate", "exif": tags}
        image.save(temporary, format=kind, **options)


def as_photo(photo: PictureLike, max_pixels: int) -> Photo:
    """Makes a photo of whatever holds one, as `Inpainter.fill` takes it; files that declare more pixels are refused.

    Raises:
        UserError: a file cannot be read; an array's shape, type or values are no photo's.
    """
    if isinstance(photo, str | Path):
        return read_photo(photo, max_pixels)
    if isinstance(photo, Image.Image):
        return upright(from_image(photo))
    if isinstance(photo, Tensor):
        photo = array_from_tensor(photo.movedim(-3, -1) if photo.ndim == 3 else photo)
    if not isinstance(photo, np.ndarray):
        raise UserError(f"The photo is a {type(photo).__name__}: give a path, a Pillow image, an array or a tensor.")
    pixels = photo[..., None] if photo.ndim == 2 else photo
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    if mode is None or not pixels.size:
        raise UserError(
            f"The photo has the shape {tuple(photo.shape)}: an array has height, width and 1 to 4 channels, "
            "a tensor 1 to 4 channels, height and width."
        )
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise UserError("The photo holds values that are not finite (NaN or infinity).")
        if pixels.max() > 1.5:  # a network's result may be a little above 1
            raise UserError(f"The photo's floats go up to {pixels.max():g}, but have to lie in [0, 1].")
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UserError(f"The photo's values are {pixels.dtype}: give uint8, uint16 or floats in [0, 1].")
    return Photo(pixels, mode)
