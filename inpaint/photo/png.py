"""PNG files of 16 bits, which Pillow reads and writes with at most 8 bits of colour."""

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inpaint.imaging.reading import opened
from inpaint.photo.photo import Photo

KEPT_CHUNKS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"tIME"}
PNG_COLOURS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}


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
