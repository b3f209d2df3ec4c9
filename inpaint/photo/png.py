"""Reads and writes PNG files with 16 bits a channel, of which Pillow keeps only 8."""

import re
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inpaint.imaging.reading import opened
from inpaint.photo.exif import PICTURE_IN_BASE64
from inpaint.photo.photo import Photo
from inpaint.photo.photoshop import PICTURE, iptc

TEXT_CHUNKS = {b"tEXt", b"zTXt", b"iTXt"}
KEPT_CHUNKS = TEXT_CHUNKS | {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"tIME"}
XMP_KEYWORD = b"XML:com.adobe.xmp"
RAW_PROFILE = "raw profile type "
WRITTEN_ANEW = ("exif", "app1", "xmp", "iptc", "8bim")  # of the raw profiles
XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"  # what it begins with there
PNG_COLOURS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}


def deep_layout(image: Image.Image) -> str | None:
    """How an opened PNG lays out 16 bits a channel of which Pillow keeps only 8, for `read_deep`; None of others."""
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    layout = tiles[0].args if tiles else None
    return str(layout) if layout in ("RGB;16B", "RGBA;16B", "LA;16B") else None


def read_deep(path: str | Path, layout: str, max_pixels: int) -> tuple[np.ndarray, str]:
    """Reads the pixels of a PNG with 16 bits a channel, and their mode.

    Pillow undoes the file's compression and filters, and then takes one byte of each two. Told that the order of the
    bytes is the other way round, it takes the other one.
    """

    def one_byte_of_each(rawmode: str) -> np.ndarray:
        with opened(path, max_pixels) as image:
            image.tile = [tile._replace(args=rawmode) for tile in image.tile]
            image.load()
            return np.array(image)

    if layout == "LA;16B":  # as long as 8-bit RGBA: both bytes of both at once
        both = one_byte_of_each("RGBA").astype(np.uint16)
        return both[..., 0::2] * 256 + both[..., 1::2], "LA"
    mode = layout.removesuffix(";16B")
    high, low = one_byte_of_each(f"{mode};16B"), one_byte_of_each(f"{mode};16L")
    return high.astype(np.uint16) * 256 + low, mode


def png_chunks(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """Reads the chunks of a PNG worth keeping (`KEPT_CHUNKS`), but what `text_is_kept` leaves out."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">L4s", head)
            if kind in KEPT_CHUNKS:
                data = file.read(length)
                if kind not in TEXT_CHUNKS or text_is_kept(kind, data):
                    yield kind, data
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)


def text_is_kept(kind: bytes, data: bytes) -> bool:
    """Whether a chunk of text stays valid: XMP, EXIF and IPTC are written anew, a picture shows what was removed."""
    keyword, _, rest = data.partition(b"\0")
    name = keyword.lower().decode("latin-1")
    profile = name.removeprefix(RAW_PROFILE) if name.startswith(RAW_PROFILE) else None
    if name == XMP_KEYWORD.decode().lower() or profile in WRITTEN_ANEW:
        return False
    try:
        packed = rest[:1] == b"\1" if kind == b"iTXt" else kind == b"zTXt"
        text = rest[2:].split(b"\0", 2)[2] if kind == b"iTXt" else rest[1:] if packed else rest
        text = zlib.decompress(text) if packed else text
        if profile is not None:
            return not PICTURE.search(raw_profile(text.decode("ascii")))
    except (IndexError, ValueError, zlib.error):  # whatever it is, nobody can read it
        return False
    return "thumbnail" not in name and not PICTURE_IN_BASE64.match(text.decode("latin-1"))


def raw_profile(text: str) -> bytes:
    """What ImageMagick keeps in a text called "Raw profile type": a name, a length, then all bytes in hexadecimal."""
    return bytes.fromhex("".join(text.split()[2:]))


def raw_profiles(info: Mapping[Any, Any]) -> dict[str, bytes]:
    """All that ImageMagick keeps in such texts, by the names "exif", "xmp", "iptc" and others."""
    found = {}
    for key, text in info.items():
        if isinstance(key, str) and key.lower().startswith(RAW_PROFILE):
            with suppress(ValueError):
                found[key.lower().removeprefix(RAW_PROFILE)] = raw_profile(text)
    app1 = found.pop("app1", b"")  # of a JPEG, which holds one of two
    if app1.startswith(XMP_IN_JPEG):
        return {"xmp": app1.removeprefix(XMP_IN_JPEG)} | found
    return {"exif": app1} | found if app1 else found


def texts(chunks: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    """The names of the texts among the chunks of a PNG."""
    return [data.partition(b"\0")[0].decode("latin-1") for kind, data in chunks if kind in TEXT_CHUNKS]


def encode_png(photo: Photo) -> bytes:
    """Encodes a photo as a PNG of its depth, with its chunks; from another format, with ICC profile and resolution."""
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
        if "comment" in photo.info:
            chunks.append((b"iTXt", b"Comment" + bytes(5) + as_utf8(photo.info["comment"])))
    for name, profile in (("8bim", photo.photoshop), ("iptc", iptc(photo.photoshop))):  # as ImageMagick writes both
        if profile:
            lines = "\n".join(re.findall(".{1,72}", profile.hex()))
            text = f"\n{name}\n{len(profile):8}\n{lines}\n".encode()
            chunks.append((b"zTXt", f"Raw profile type {name}\0\0".encode() + zlib.compress(text)))
    if "xmp" in photo.info:
        chunks.append((b"iTXt", XMP_KEYWORD + bytes(5) + photo.info["xmp"]))
    if photo.exif:
        chunks.append((b"eXIf", photo.exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", compress_rows(photo.pixels)), (b"IEND", b"")]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        parts += [struct.pack(">L", len(data)), kind, data, struct.pack(">L", zlib.crc32(kind + data))]
    return b"".join(parts)


def as_utf8(comment: bytes) -> bytes:
    """Another format's comment, which does not say how it is encoded, in UTF-8."""
    try:
        comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1").encode()
    return comment


def compress_rows(pixels: np.ndarray) -> bytes:
    """Compresses the rows of a PNG, each as its difference from the left or from above, whichever is smaller."""
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
