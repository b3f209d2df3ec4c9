"""Turns a photo upright, as its EXIF or XMP says, and takes the pictures of what is being removed out of both."""

import re
import struct
from dataclasses import replace

import numpy as np

from inpaint.photo.photo import Photo
from inpaint.photo.xmp import clean_xmp

ORIENTATION = 0x0112
THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # where it begins and how long it is: a JPEG's, or each strip's
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def upright(photo: Photo) -> Photo:
    """Turns a photo as its EXIF says, or else its XMP; both then say that it is upright, and hold no thumbnail."""
    exif, orientation = clean_exif(photo.exif)
    info = dict(photo.info)
    if packet := info.pop("xmp", None):
        cleaned, in_xmp = clean_xmp(packet)
        orientation = orientation or in_xmp
        info |= {"xmp": cleaned} if cleaned else {}
    pixels = UPRIGHT.get(orientation or 1, lambda a: a)(photo.pixels)
    return replace(photo, pixels=np.ascontiguousarray(pixels), exif=exif, info=info)


def clean_exif(exif: bytes) -> tuple[bytes, int | None]:
    """Makes EXIF say "upright" and blanks all thumbnails and previews in it; each other byte stays as it was.

    It is changed in place, because rewriting would lose cameras' private notes, whose offsets count from the start.

    Returns:
        The EXIF, empty if it makes no sense, else beginning as in a JPEG, with "Exif", whether or not it did in its
        file; and the orientation that it had, None if it says nothing of it.
    """
    data, orientation = bytearray(exif.removeprefix(b"Exif\0\0")), None
    if not data:
        return b"", None
    try:
        order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]

        def entries(at: int) -> tuple[dict[int, tuple[int, ...]], int]:
            """The numbers of each tag that is looked for in a directory, behind their place; and where it ends."""
            (count,) = struct.unpack_from(f"{order}H", data, at)
            found = {}
            for entry in range(at + 2, at + 2 + 12 * count, 12):
                tag, kind, length = struct.unpack_from(f"{order}HHL", data, entry)
                if tag in (ORIENTATION, *sum(THUMBNAIL, ())):
                    letter = "H" if kind == 3 else "L"
                    inside = struct.calcsize(f"={letter}") * length <= 4
                    place = entry + 8 if inside else struct.unpack_from(f"{order}L", data, entry + 8)[0]
                    found[tag] = (place, *struct.unpack_from(f"{order}{length}{letter}", data, place))
            return found, at + 2 + 12 * count

        main, link = entries(struct.unpack_from(f"{order}L", data, 4)[0])
        if ORIENTATION in main:
            place, orientation = main[ORIENTATION][:2]
            struct.pack_into(f"{order}H", data, place, 1)
        (second,) = struct.unpack_from(f"{order}L", data, link) if link + 4 <= len(data) else (0,)
        if second:
            thumbnail, _ = entries(second)
            for begins, lengths in THUMBNAIL:
                for begin, length in zip(thumbnail.get(begins, ())[1:], thumbnail.get(lengths, ())[1:], strict=False):
                    data[begin : begin + length] = bytes(len(data[begin : begin + length]))
            struct.pack_into(f"{order}L", data, link, 0)
    except (KeyError, ValueError, struct.error):
        return b"", orientation
    blank_jpegs(data)
    return b"Exif\0\0" + bytes(data), orientation


def blank_jpegs(data: bytearray) -> None:
    """Overwrites each JPEG in `data` with zeros: cameras keep previews in notes of their own, each in its own way."""
    for begin in (match.start() for match in re.finditer(rb"\xff\xd8(?=\xff[\xc0-\xfe])", bytes(data))):
        at = begin + 2
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b""):  # until the pixels begin
            at += 1 if data[at + 1] == 0xFF else 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        if data[begin : begin + 2] == b"\xff\xd8" and data[at : at + 2] == b"\xff\xda":
            end = data.find(b"\xff\xd9", at)
            end = len(data) if end < 0 else end + 2
            data[begin:end] = bytes(end - begin)
