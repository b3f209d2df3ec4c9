"""Reads the tags of a TIFF as they lie in it, and writes TIFF files that keep them so, which Pillow does not."""

import struct
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from inpaint.photo import photoshop
from inpaint.photo.exif import DIRECTORIES, MARKS, ORIENTATION, Directory, directory_of, write_directory
from inpaint.photo.photo import Photo

DESCRIPTIVE = {  # of the tags: the others lay out the file, or are written otherwise
    *(269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316),
    *(18246, 18249, 33432, 34665, 34853, 40091, 40092, 40093, 40094, 40095, 50341),
}
IN_EVERY_TIFF = {274, 282, 283, 296}  # orientation and resolution
LAST_OF_LAYOUT = 532  # up to it TIFF itself names the tags
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, ICC_TAG, LAYERS_TAG = 700, 33723, 34377, 34675, 37724
WRITTEN_OTHERWISE = {XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, ICC_TAG, LAYERS_TAG}  # or not at all
AS_IT_LIES = {order: (3, 1, struct.pack(f"{order}H", 1)) for order in "<>"}  # the orientation that turns nothing
STRIP = 1 << 18  # bytes of pixels that are compressed together


def tags_of_tiff(image: Image.Image, file: Path | None) -> tuple[str, Directory]:
    """The byte order and the tags of a TIFF as they lie in its file; of a BigTIFF or no file, as Pillow has them."""
    if not isinstance(image, TiffImageFile):
        return "<", {}
    order, tags = directory_of(file.read_bytes() if file else b"")
    if tags:
        return order, tags
    held, plain = image.getexif(), Image.Exif()
    for tag in set(held) & (DESCRIPTIVE | WRITTEN_OTHERWISE):
        plain[tag] = dict(held.get_ifd(tag)) if tag in DIRECTORIES else held[tag]
    return directory_of(plain.tobytes())


def exif_of_tags(order: str, tags: Directory) -> bytes:
    """EXIF with the tags of a TIFF that describe the photo, which Pillow has turned; empty if there are none."""
    upright_now = {ORIENTATION: AS_IT_LIES[order]} if ORIENTATION in tags else {}
    described = {tag: value for tag, value in tags.items() if tag in DESCRIPTIVE} | upright_now
    head = b"Exif\0\0" + MARKS[order] + struct.pack(f"{order}L", 8)
    return head + write_directory(described, order, 8) if described else b""


def encode_tiff(photo: Photo, said: dict[str, Any]) -> bytes:
    """Encodes a photo, without loss, as a TIFF of its depth, with what is said beside the pixels.

    Pillow's own compressed ones have no room for the directories that EXIF is made of, and it guesses kinds of values.
    """
    order, tags = directory_of(said.get("exif", b""))
    (height, width), channels = photo.size, photo.pixels.shape[-1]
    depth = photo.pixels.dtype.itemsize
    rows = max(1, STRIP // (width * channels * depth))
    pixels = photo.pixels.astype(f"{order}u{depth}")
    strips = [zlib.compress(pixels[top : top + rows].tobytes()) for top in range(0, height, rows)]
    strips = [strip + bytes(len(strip) % 2) for strip in strips]
    offsets = list(accumulate(map(len, strips), initial=8))

    def values(*numbers: int) -> tuple[int, int, bytes]:
        return 4, len(numbers), struct.pack(f"{order}{len(numbers)}L", *numbers)

    def shorts(*numbers: int) -> tuple[int, int, bytes]:
        return 3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers)

    def dots(number: float) -> tuple[int, int, bytes]:
        return 5, 1, struct.pack(f"{order}2L", round(number * 10000), 10000)

    directory = {
        tag: value
        for tag, value in tags.items()
        if (tag in DESCRIPTIVE or tag > LAST_OF_LAYOUT)
        and tag not in WRITTEN_OTHERWISE
        and (tag not in IN_EVERY_TIFF or value[0] in (3, 5))  # of another kind, they make the file unreadable
    }
    directory |= {
        256: values(width),
        257: values(height),
        258: shorts(*[8 * depth] * channels),
        259: shorts(8),  # deflate
        262: shorts({"L": 1, "RGB": 2, "CMYK": 5}[photo.mode.removesuffix("A")]),
        273: values(*offsets[:-1]),
        277: shorts(channels),
        278: values(rows),
        279: values(*map(len, strips)),
        284: shorts(1),  # the channels of a pixel stand side by side
    }
    if photo.mode.endswith("A"):
        directory[338] = shorts(2)  # transparency, by which the colours are not multiplied
    if "dpi" in said:
        directory |= {282: dots(said["dpi"][0]), 283: dots(said["dpi"][1]), 296: shorts(2)}
    resources = said.get("photoshop", b"")
    for tag, kind, content in (  # kind 1 is bytes, 7 undefined
        (XMP_TAG, 1, said.get("xmp")),
        (ICC_TAG, 7, said.get("icc_profile")),
        (PHOTOSHOP_TAG, 1, resources),
        (IPTC_TAG, 7, photoshop.iptc(resources)),
    ):
        if content:
            directory[tag] = kind, len(content), content
    head = MARKS[order] + struct.pack(f"{order}L", offsets[-1])
    return b"".join([head, *strips, write_directory(directory, order, offsets[-1])])
