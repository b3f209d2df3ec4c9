"""A person's photo: read with all that it is, written so that only the filled pixels differ; and the masks for it."""

import os
import struct
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin, TiffImagePlugin
from torch import Tensor

from inpaint.configuration import MAX_PIXELS
from inpaint.errors import UserError
from inpaint.images import atomic

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
ORIENTATION = 0x0112
DESCRIPTIVE = {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853}  # of TIFF's tags; others lay out
KEPT_CHUNKS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"tIME"}
PNG_COLOURS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
PILLOWS_BOUND = threading.Lock()  # held while it is lifted
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


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


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photo in a file, upright.

    Palettes are resolved to RGB, 1 bit becomes grey.

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
            return upright(described(image, path, pixels, mode))
        bits = image.tag_v2.get(258, (8,)) if isinstance(image, TiffImagePlugin.TiffImageFile) else (8,)
        if max(bits) > 8 and not image.mode.startswith("I;16"):
            raise UserError(f"{path} has more than 8 bits a channel, which are kept in PNG only: save it as a PNG.")
        image.load()
        return upright(from_image(image, path))


def from_image(image: Image.Image, path: str | Path = "The picture") -> Photo:
    """A Pillow image as a photo, as it lies (`upright` turns it)."""
    if image.mode.startswith("I;16"):
        pixels, mode = np.asarray(image).astype(np.uint16), "L"
    elif image.mode in ("I", "F"):
        raise UserError(f"{path} has 32 bits a pixel: save it with 8 or 16.")
    else:
        if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
            image = converted(image, "RGBA")
        elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
            image = converted(image, "L" if image.mode == "1" else "RGB")
        pixels, mode = np.array(image), image.mode
    return described(image, path, pixels.reshape(*pixels.shape[:2], -1), mode)


def converted(image: Image.Image, mode: str) -> Image.Image:
    """In another mode, but still knowing what it was read from."""
    result = image.convert(mode)
    if image.mode == "LAB":  # whose profile tells nothing of RGB
        result.info.pop("icc_profile", None)
    result.format = image.format
    return result


def described(image: Image.Image, path: str | Path, pixels: np.ndarray, mode: str) -> Photo:
    """The pixels with all that the image says beside them."""
    info = {key: image.info[key] for key in ("icc_profile", "xmp", "dpi", "comment") if image.info.get(key)}
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


def upright(photo: Photo) -> Photo:
    """Turned as its EXIF says, which then says that it is upright."""
    exif, orientation = clean_exif(photo.exif)
    pixels = UPRIGHT.get(orientation, lambda a: a)(photo.pixels)
    return replace(photo, pixels=np.ascontiguousarray(pixels), exif=exif)


def clean_exif(exif: bytes) -> tuple[bytes, int]:
    """EXIF that says "upright" and has no thumbnail, each other byte as it was; and the orientation that it had.

    The result begins as in a JPEG, with "Exif", whether or not it did in its file.
    Changed in place, because rewriting would lose cameras' private notes, whose offsets count from the start.
    EXIF that makes no sense is left out.
    """
    data, orientation = bytearray(exif.removeprefix(b"Exif\0\0")), 1
    if not data:
        return b"", 1
    try:
        order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]

        def entries(at: int) -> tuple[dict[int, tuple[int, int]], int]:
            (count,) = struct.unpack_from(f"{order}H", data, at)
            found = {}
            for place in range(at + 2, at + 2 + 12 * count, 12):
                tag, kind = struct.unpack_from(f"{order}HH", data, place)
                found[tag] = (place + 8, struct.unpack_from(f"{order}{'H' if kind == 3 else 'L'}", data, place + 8)[0])
            return found, at + 2 + 12 * count

        main, link = entries(struct.unpack_from(f"{order}L", data, 4)[0])
        if ORIENTATION in main:
            place, orientation = main[ORIENTATION]
            struct.pack_into(f"{order}H", data, place, 1)
        (second,) = struct.unpack_from(f"{order}L", data, link) if link + 4 <= len(data) else (0,)
        if second:
            thumbnail, _ = entries(second)
            if {0x0201, 0x0202} <= set(thumbnail):  # where it begins, how long it is
                begin, length = thumbnail[0x0201][1], thumbnail[0x0202][1]
                data[begin : begin + length] = bytes(len(data[begin : begin + length]))
            struct.pack_into(f"{order}L", data, link, 0)
    except (KeyError, struct.error):
        return b"", orientation
    return b"Exif\0\0" + bytes(data), orientation


def target_for(path: Path) -> Path:
    """Where the filled photo goes if nobody says: beside it, in its own format where that can hold any colour."""
    suffix = path.suffix if path.suffix.lower() in FORMATS else ".png"
    return path.with_name(f"{path.stem}_filled{suffix}")


def check_target(path: Path, overwrite: bool) -> None:
    """Looks, before any work, whether a photo can be written there; makes nothing.

    Raises:
        UserError: the extension names no format that can be written, the file exists, or its folder cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file.")
    if path.suffix.lower() not in FORMATS:
        problem = "an extension that cannot be written" if path.suffix else "no extension, and is no folder that exists"
        raise UserError(f"{path} has {problem}: choose one of {', '.join(FORMATS)}.")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: give another name with -o, or --overwrite.")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raises:
    UserError: files cannot be written there, or the folder cannot be made.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"{existing} is a file, so nothing can be written into {folder}: choose another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing} cannot be written: choose another folder with -o.")


def check_keeps(photo: Photo, path: Path) -> None:
    """Raises:
    UserError: the format of `path` has no room for the photo's transparency, or its CMYK.
    """
    if photo.mode not in KEEPS[FORMATS[path.suffix.lower()]]:
        what, suitable = ("is CMYK", ".tif") if photo.mode == "CMYK" else ("has transparency", ".png")
        raise UserError(f"The photo {what}, which {path.suffix} cannot keep: write a {suitable} instead.")


def write_photo(photo: Photo, path: Path) -> None:
    """Writes the photo in the format that the suffix names: beside `path`, then renamed.

    Whatever the format allows is kept: EXIF, ICC profile, XMP, resolution, comment; the quality of a JPEG (95 if it was
    none); 16 bits in PNG (and grey TIFF), elsewhere 8. All but JPEG are written without loss.

    Raises:
        UserError: it cannot be written; nothing is changed then.
    """
    kind = FORMATS[path.suffix.lower()]
    with atomic(path) as beside:
        if kind == "PNG":
            beside.write_bytes(encode_png(photo))
            return
        keeps_depth = kind == "TIFF" and photo.mode == "L"
        image = (photo if keeps_depth else photo.with_pixels(shallow(photo.pixels))).to_image()
        image.info.clear()  # Pillow takes some of it unasked
        options = dict(photo.info)
        if photo.exif:
            options["exif"] = photo.exif
        if kind == "JPEG":
            options |= photo.jpeg or {"quality": 95, "subsampling": 0}
        elif kind == "WEBP":
            options |= {"lossless": True, "exact": True}
        elif kind == "TIFF":
            options["compression"] = "tiff_adobe_deflate"
        image.save(beside, format=kind, **options)


def shallow(pixels: np.ndarray) -> np.ndarray:
    return to_8_bit(pixels) if pixels.dtype == np.uint16 else pixels


# PNG, because Pillow reads and writes at most 8 bits of colour


def read_deep(path: str | Path, layout: str, max_pixels: int) -> tuple[np.ndarray, str]:
    """The pixels of a PNG with 16 bits a channel.

    Pillow undoes the file's compression and filters, and then takes one byte of each two. Told that the order of the
    bytes is the other way round, it takes the other one.
    """

    def half(rawmode: str) -> np.ndarray:
        with opened(path, max_pixels) as image:
            image.tile = [tile._replace(args=rawmode) for tile in image.tile]
            image.load()
            return np.array(image)

    if layout == "LA;16B":  # as long as 8-bit RGBA: both bytes of both at once
        bytes_ = half("RGBA").astype(np.uint16)
        return bytes_[..., 0::2] * 256 + bytes_[..., 1::2], "LA"
    mode = layout.removesuffix(";16B")
    return half(f"{mode};16B").astype(np.uint16) * 256 + half(f"{mode};16L"), mode


def png_chunks(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG worth keeping (`KEPT_CHUNKS`), but EXIF in text, which would be out of date."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">L4s", head)
            if kind in KEPT_CHUNKS:
                data = file.read(length)
                if not data.lower().startswith((b"raw profile type exif", b"raw profile type app1")):
                    yield kind, data
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)


def encode_png(photo: Photo) -> bytes:
    """A PNG of the photo's depth, with its chunks; from another format, with its ICC profile, resolution and XMP."""
    height, width = photo.size
    depth = 8 * photo.pixels.dtype.itemsize
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, PNG_COLOURS[photo.mode], 0, 0, 0))]
    if photo.format == "PNG":
        chunks += photo.chunks
    else:
        if "icc_profile" in photo.info:
            chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.info["icc_profile"])))
        if "dpi" in photo.info:
            per_metre = [round(float(dots) / 0.0254) for dots in photo.info["dpi"]]
            chunks.append((b"pHYs", struct.pack(">LLB", *per_metre, 1)))
        if "xmp" in photo.info:
            chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photo.info["xmp"]))
    if photo.exif:
        chunks.append((b"eXIf", photo.exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", compressed(photo.pixels)), (b"IEND", b"")]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        parts += [struct.pack(">L", len(data)), kind, data, struct.pack(">L", zlib.crc32(kind + data))]
    return b"".join(parts)


def compressed(pixels: np.ndarray) -> bytes:
    """The rows of a PNG: each as its difference from the left or from above, whichever is smaller."""
    height = len(pixels)
    unit = pixels.shape[-1] * pixels.dtype.itemsize
    swapped = pixels.byteswap() if pixels.dtype.itemsize == 2 and sys.byteorder == "little" else pixels
    rows = np.ascontiguousarray(swapped).view(np.uint8).reshape(height, -1)
    deflate = zlib.compressobj(6)
    parts, above = [], np.zeros_like(rows[0])
    for row in rows:
        left = row.copy()
        left[unit:] -= row[:-unit]
        up = row - above
        # the usual guess: small differences, of either sign, compress well
        kind, best = min(
            ((1, left), (2, up)), key=lambda pair: int(np.abs(pair[1].view(np.int8).astype(np.int16)).sum())
        )
        parts.append(deflate.compress(bytes([kind]) + best.tobytes()))
        above = row
    return b"".join([*parts, deflate.flush()])


# masks


def read_mask(
    path: str | Path, size: tuple[int, int], invert: bool = False, max_pixels: int = MAX_PIXELS
) -> Bool[np.ndarray, "height width"]:
    """What a mask file marks: at least half white, or, where its transparency varies, at least half opaque.

    Args:
        size: height and width of the upright photo.
        invert: black is what is marked.

    Raises:
        UserError: the file cannot be read, has another size, or marks nothing or everything.
    """
    with opened(path, max_pixels) as image:
        marked = marks(image)
    return checked_mask(~marked if invert else marked, size, str(path))


def marks(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    """The pixels of a Pillow image, upright, that count as white (see `read_mask`)."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        return np.asarray(image) >= 32768
    if image.mode == "F":
        return np.asarray(image) >= 0.5
    if image.has_transparency_data:
        image = image.convert("RGBA")
        low, high = image.getextrema()[3]  # type: ignore[misc]
        if low != high:
            return np.asarray(image.getchannel("A")) >= 128
    return np.asarray(image.convert("RGB").convert("L")) >= 128


def from_tensor(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()  # numpy knows no bfloat16


def array_mask(mask: Any) -> Bool[np.ndarray, "height width"]:
    """What an array or tensor marks: bool, 0 and 1, floats from 0.5 up, or integers from half their range up.

    Of three channels (first in a tensor, last in an array) two have to be marked.
    """
    values = from_tensor(mask) if isinstance(mask, Tensor) else np.asarray(mask)
    if values.dtype.kind not in "biuf":
        raise UserError(f"The mask is a {type(mask).__name__}: give a path, a Pillow image, an array or a tensor.")
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 3:
        values = values if isinstance(mask, Tensor) or len(values) == 1 else np.moveaxis(values, -1, 0)
    if values.ndim != 2 and not (values.ndim == 3 and len(values) in (1, 3)):
        raise UserError(f"The mask has the shape {np.shape(mask)}, but rows and columns are expected.")
    if values.dtype.kind == "f":
        marked = values >= 0.5
    elif values.max(initial=0) <= 1:
        marked = values > 0
    else:
        marked = values > np.iinfo(values.dtype if values.dtype.itemsize < 4 else np.uint8).max // 2
    return marked if marked.ndim == 2 else marked.mean(0) > 0.5


def boxes_mask(boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """Marks boxes: left, top, right, bottom in pixels of the upright photo, right and bottom exclusive.

    Raises:
        UserError: a box has no pixels, or reaches beyond the photo.
    """
    height, width = size
    marked = np.zeros(size, dtype=bool)
    for box in boxes:
        left, top, right, bottom = box
        name = ",".join(map(str, box))
        if right <= left or bottom <= top:
            raise UserError(f"The box {name} is empty: give left,top,right,bottom, with left < right and top < bottom.")
        if left < 0 or top < 0 or right > width or bottom > height:
            raise UserError(f"The box {name} reaches outside the photo, which is {width} x {height} pixels.")
        marked[top:bottom, left:right] = True
    return marked


def checked_mask(
    marked: Bool[np.ndarray, "height width"], size: tuple[int, int], name: str
) -> Bool[np.ndarray, "height width"]:
    """The mask itself.

    Raises:
        UserError: its size is not the photo's, or nothing or everything is marked.
    """
    if marked.shape != size:
        raise UserError(
            f"{name} is {marked.shape[1]} x {marked.shape[0]} pixels but the photo is {size[1]} x {size[0]}: "
            "a mask must have the size of the photo, seen upright."
        )
    if not marked.any():
        raise UserError(f"{name} is empty: paint what is to be removed white (or add or drop --invert).")
    if marked.all():
        raise UserError(f"{name} marks the whole photo, so nothing is left: mark less (or add or drop --invert).")
    return marked


def blend(
    old: np.ndarray, new: Float[np.ndarray, "rows columns colours"], weights: UInt8[np.ndarray, "rows columns"]
) -> np.ndarray:
    """Colour channels with `new` ([0, 1]) in them, weights of 255 for all of it; weights of 0 keep every bit."""
    top = np.iinfo(old.dtype).max
    share = weights[..., None].astype(np.float32) / 255
    mixed = (share * new * top + (1 - share) * old).round().clip(0, top).astype(old.dtype)
    return np.where(weights[..., None] > 0, mixed, old)
