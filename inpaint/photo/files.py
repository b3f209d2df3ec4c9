"""Reads a photo file with all that it holds, and writes the filled one so that only the filled pixels differ."""

import math
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PsdImagePlugin import PsdImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, SUBIFD, TiffImageFile
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import atomic, fitting, followed
from inpaint.imaging.marked import Marked
from inpaint.imaging.reading import grey_16, holds_16_bit_grey, opened
from inpaint.photo import photoshop
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.exif import ORIENTATION, Directory, directory_of, upright
from inpaint.photo.left import has_more_than_8_bits, left_behind
from inpaint.photo.photo import Photo, array_from_tensor, to_8_bit
from inpaint.photo.png import deep_layout, encode_png, png_chunks, raw_profiles, read_deep, texts
from inpaint.photo.tiff import (
    AS_IT_LIES,
    IN_EVERY_TIFF,
    IPTC_TAG,
    PHOTOSHOP_TAG,
    encode_tiff,
    exif_of_tags,
    tags_of_tiff,
)

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
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
LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}  # pixels; the other formats have room for more than memory has
ROOM: dict[str, dict[str, float]] = {  # for what stands beside the pixels: the most bytes, 0 where it is not named
    "JPEG": {
        "exif": 65533,
        "xmp": 65504,
        "comment": 65533,
        "icc_profile": 255 * 65519,
        "photoshop": math.inf,
        "dpi": math.inf,
    },
    "PNG": dict.fromkeys(("exif", "xmp", "comment", "icc_profile", "photoshop", "dpi"), math.inf),
    "TIFF": dict.fromkeys(("exif", "xmp", "icc_profile", "photoshop", "dpi"), math.inf),
    "WEBP": dict.fromkeys(("exif", "xmp", "icc_profile"), math.inf),
    "BMP": {"dpi": math.inf},
}
NAMES = {"exif": "EXIF", "xmp": "XMP", "comment": "the comment", "icc_profile": "the ICC profile"}
ANIMATIONS = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}
FIRST_IS_THE_PHOTO = {"MPO", "HEIF", "PSD"}  # whatever follows: what phones keep beside it, or the layers
SRGB_GAMMA = struct.pack(">L", 45455)
PictureLike = str | Path | Image.Image | np.ndarray | Tensor


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """Reads the photo in a file, upright. Palettes are resolved to RGB, 1 bit becomes grey.

    What a file holds beside the photo that is not kept stands in `dropped`.

    Raises:
        UserError: the file is missing, no picture, cut short or too large; it holds several pictures, 32 bits a
            channel, or 16 bits of colour in a TIFF, all of which would come out as less than they were.
    """
    with opened(path, max_pixels) as image:
        check_single(image, path, max_pixels)
        if (layout := deep_layout(image)) is not None:
            pixels, mode = read_deep(path, layout, max_pixels)
            image.load()  # reads the chunks behind the pixels
            return upright(with_metadata(image, path, pixels, mode))
        if isinstance(image, TiffImageFile) and image.mode not in ("I", "F"):
            bits = image.tag_v2.get(BITSPERSAMPLE, (8,))
            if max(bits) > 8 and not holds_16_bit_grey(image):
                raise UserError(f"{path} has more than 8 bits a channel, which are kept in PNG only: save it as a PNG.")
        deep = has_more_than_8_bits(image, path)  # asked before Pillow forgets it
        image.load()
        photo = from_image(image, path)
        if deep:
            photo = replace(photo, dropped=(*photo.dropped, "more than 8 bits a channel"))
        return upright(photo)


def check_single(image: Image.Image, path: str | Path, max_pixels: int) -> None:
    """Raises a UserError if a file holds several pictures, none of which is the photo rather than the others."""
    count = getattr(image, "n_frames", 1)
    what = f"is an animation of {count} pictures" if image.format in ANIMATIONS else f"holds {count} pictures"
    if isinstance(image, TiffImageFile):
        if image.tag_v2.get(SUBIFD) and is_reduced(image):
            raise UserError(f"{path} shows a preview first, as raw files do: develop it, and save it as a PNG or TIFF.")
        if count > 1:
            with opened(path, max_pixels) as pages:  # another one, for turning pages mixes up what each one says
                count = sum(not is_reduced(page) for page in ImageSequence.Iterator(pages))
        what = f"holds {count} pages"
    if count > 1 and image.format not in FIRST_IS_THE_PHOTO:
        raise UserError(f"{path} {what}: save the one to fill as a file of its own.")


def is_reduced(page: Image.Image) -> bool:
    """Whether a page of a TIFF says that it is another one made smaller, as thumbnails are."""
    return bool(page.tag_v2.get(254, 0) & 1)  # type: ignore[attr-defined]


def from_image(image: Image.Image, path: str | Path = "The picture") -> Photo:
    """Makes a photo of a Pillow image, as it lies (`upright` turns it); `path` is what errors call it.

    Raises:
        UserError: its values are no whole numbers of 8 or 16 bits.
    """
    if holds_16_bit_grey(image):
        return with_metadata(image, path, grey_16(image)[..., None], "L")
    if image.mode in ("I", "F"):
        kind = "floating-point numbers (32 bits a pixel)" if image.mode == "F" else "whole numbers of 32 bits or signed"
        raise UserError(f"{path} holds {kind}: save it with 8 or 16 bits a channel.")
    converted = image
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        converted = image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        converted = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.array(converted)
    return with_metadata(image, path, pixels.reshape(*pixels.shape[:2], -1), converted.mode)


def with_metadata(image: Image.Image, path: str | Path, pixels: np.ndarray, mode: str) -> Photo:
    """Makes a photo of pixels and of all that the image that they come from says beside them."""
    file = Path(path) if Path(path).is_file() else None
    profiles = raw_profiles(image.info)
    order, tags = tags_of_tiff(image, file)
    resources = image_resources(image, tags)
    held = {number: content for number, _, content in photoshop.resources(resources)}
    said = {
        "icc_profile": image.info.get("icc_profile") or held.get(photoshop.ICC_PROFILE),
        "xmp": image.info.get("xmp") or profiles.get("xmp") or held.get(photoshop.XMP),
        "dpi": image.info.get("dpi"),
        "comment": image.info.get("Comment", "").encode() if image.format == "PNG" else image.info.get("comment"),
    }
    if image.mode == "LAB":  # whose profile tells nothing of RGB
        del said["icc_profile"]
    if not all(0 < float(dots) < 65536 for dots in said["dpi"] or ()):  # nor is it a number, with a fraction by 0
        del said["dpi"]
    jpeg: dict[str, Any] = {}
    if isinstance(image, JpegImageFile):
        said["comment"] = b"\n".join(content for name, content in image.applist if name == "COM")
        jpeg = {"qtables": image.quantization}  # not "progressive": Pillow cannot write large ones of high quality
        if (sampling := get_sampling(image)) >= 0:
            jpeg["subsampling"] = sampling
    exif = image.info.get("exif") or profiles.get("exif") or exif_of_tags(order, tags) or held.get(photoshop.EXIF, b"")
    chunks = tuple(png_chunks(path)) if image.format == "PNG" and file else ()
    turned = tags.get(ORIENTATION, AS_IT_LIES[order]) != AS_IT_LIES[order]  # a TIFF, which `upright` need not turn
    resources, missed = photoshop.clean_resources(resources, turned)
    dropped = (*left_behind(image, file), *missed)
    info = {key: value for key, value in said.items() if value}
    return Photo(pixels, mode, image.format, exif, info, jpeg, chunks, resources, dropped)


def image_resources(image: Image.Image, tags: Directory) -> bytes:
    """The image resources of Photoshop, with IPTC among them, that a Pillow image (of a TIFF: its tags) comes with."""
    if isinstance(image, JpegImageFile):  # one may begin in a segment and end in the next
        contents = (content for name, content in image.applist if name == "APP13")
        return b"".join(
            part[len(photoshop.JPEG_HEADER) :] for part in contents if part.startswith(photoshop.JPEG_HEADER)
        )
    if isinstance(image, PsdImageFile):
        return b"".join(photoshop.resource(number, content) for number, _, content in image.resources)
    if isinstance(image, TiffImageFile):  # the bytes, whatever kind of values some programs say they are
        entries = (tags.get(tag, {}) for tag in (PHOTOSHOP_TAG, IPTC_TAG))
        return photoshop.with_iptc(*(entry[2] if isinstance(entry, tuple) else b"" for entry in entries))
    profiles = raw_profiles(image.info)
    return photoshop.with_iptc(profiles.get("8bim", b""), profiles.get("iptc", b""))


def writable(path: Path) -> Path:
    """The path itself if its extension names a format that can be written, else with .png."""
    return path if path.suffix.lower() in FORMATS else path.with_name(fitting(path.stem, ".png"))


def target_for(path: Path) -> Path:
    """Names the filled photo if nobody says how: beside the photo, in its format where that can be written."""
    return path.with_name(fitting(path.stem, f"_filled{writable(path).suffix}"))


def check_target(path: Path, overwrite: bool) -> None:
    """Checks, before any work, that a photo can be written to `path`, else raises a UserError; makes nothing."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file.")
    if path.suffix.lower() not in FORMATS:
        problem = "an extension that cannot be written" if path.suffix else "no extension, and is no folder that exists"
        raise UserError(f"{path} has {problem}: choose one of {', '.join(FORMATS)}.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give another name with -o, or --overwrite.")
    check_folder(followed(path).parent)


def check_folder(folder: Path) -> None:
    """Checks that files can be written to a folder, or that it can be made, else raises a UserError; makes nothing."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is a file, so nothing can be written into {folder}: choose another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing} cannot be written: choose another folder with -o.")


def check_keeps(photo: Photo, path: Path, marked: Marked | None = None, size: tuple[int, int] | None = None) -> None:
    """Checks that the format of `path` has room for the photo's size (or for this one) and channels.

    Transparency that is opaque throughout needs none, nor does that of the pixels in `marked`, which are to be filled
    like what surrounds them.

    Raises:
        UserError: the format cannot hold transparency, CMYK, or so many pixels in a row or a column.
    """
    kind, suffix = FORMATS[path.suffix.lower()], path.suffix
    height, width = size or photo.size
    if max(height, width) > LONGEST_SIDE.get(kind, math.inf):
        raise UserError(
            f"The result has {width} x {height} pixels, but {suffix} holds at most {LONGEST_SIDE[kind]} a side: "
            "write a .png instead."
        )
    if photo.mode in KEEPS[kind] or (photo.mode.endswith("A") and is_opaque(photo, marked)):
        return
    what, suitable = ("is CMYK", ".tif") if photo.mode == "CMYK" else ("has transparency", ".png")
    raise UserError(f"The photo {what}, which {suffix} cannot keep: write a {suitable} instead.")


def is_opaque(photo: Photo, marked: Marked | None = None) -> bool:
    """Whether the last channel, which is transparency, is opaque everywhere but in `marked`."""
    opaque = photo.pixels[..., -1] == np.iinfo(photo.pixels.dtype).max
    return bool((opaque if marked is None else opaque | marked).all())


def write_photo(photo: Photo, path: Path) -> list[str]:
    """Writes the photo in the format that the suffix names, whole or, with a UserError, not at all.

    Whatever the format has room for is kept: EXIF, ICC profile, XMP, IPTC, resolution, comment; the quality of a JPEG
    (95 if it was none); 16 bits in PNG (and grey TIFF), elsewhere 8. All but JPEG are written without loss.

    Returns:
        Short names of what is lost: what reading had to drop, then what this format has no room for.
    """
    check_keeps(photo, path)
    kind = FORMATS[path.suffix.lower()]
    if photo.mode not in KEEPS[kind]:  # what makes it opaque
        photo = replace(photo, pixels=photo.pixels[..., :-1], mode=photo.mode[:-1])
    lost = lost_in(photo, kind)
    with atomic(path) as temporary:
        if kind == "PNG":
            temporary.write_bytes(encode_png(photo))
            return lost
        photo = photo if keeps_depth(photo, kind) else replace(photo, pixels=to_8_bit(photo.pixels))
        options: dict[str, Any] = {key: value for key, value in beside(photo).items() if has_room(kind, key, value)}
        if kind == "TIFF":
            temporary.write_bytes(encode_tiff(photo, options))
            return lost
        image = photo.to_image()
        image.info.clear()  # Pillow takes some of it unasked
        resources = options.pop("photoshop", b"")
        if kind == "JPEG":
            options |= photo.jpeg or {"quality": 95, "subsampling": 0}
            options["extra"] = photoshop.jpeg_segments(resources)
        elif kind == "WEBP":
            options |= {"lossless": True, "exact": True}
        image.save(temporary, format=kind, **options)
    return lost


def beside(photo: Photo) -> dict[str, Any]:
    """All that stands beside the pixels of a photo."""
    held = photo.info | {"exif": photo.exif, "photoshop": photo.photoshop}
    return {key: value for key, value in held.items() if value}


def has_room(kind: str, key: str, value: Any) -> bool:
    """Whether a format has room for what stands beside the pixels."""
    return len(value) <= ROOM[kind].get(key, 0)


def keeps_depth(photo: Photo, kind: str) -> bool:
    """Whether a format keeps all bits of a channel."""
    return photo.pixels.dtype == np.uint8 or kind == "PNG" or (kind == "TIFF" and photo.mode == "L")


def lost_in(photo: Photo, kind: str) -> list[str]:
    """Short names of what is lost of a photo that is written in a format: first what is lost already."""
    lost = list(photo.dropped)
    if not keeps_depth(photo, kind):
        lost.append("16 bits a channel")
    for key, value in beside(photo).items():
        if has_room(kind, key, value):
            continue
        if key == "exif" and directory_of(photo.exif)[1].keys() <= IN_EVERY_TIFF:
            continue
        if key == "photoshop":
            lost.append("IPTC" if photoshop.iptc(value) else "Photoshop's resources")
        elif key != "dpi":
            lost.append(NAMES[key])
        elif not photo.exif and [round(float(dots)) for dots in value] != [72, 72]:  # which stands for none
            lost.append("the resolution")
    if kind != "PNG":
        if names := [name for name in texts(photo.chunks) if name != "Comment"]:
            lost.append(f"texts of the PNG ({', '.join(names)})")
        chunks = dict(photo.chunks)
        coding = ["cICP"] if b"cICP" in chunks else []
        if not chunks.keys() & {b"iCCP", b"sRGB"} and chunks.get(b"gAMA", SRGB_GAMMA) != SRGB_GAMMA:
            coding.append("gAMA")
        if coding:
            lost.append(f"how the PNG codes colours ({', '.join(coding)})")
    return list(dict.fromkeys(lost))


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
