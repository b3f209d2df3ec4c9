"""What a photo says of itself: its orientation is undone, its thumbnail taken out."""

import struct
from dataclasses import replace

import numpy as np

from inpaint.photo.photo import Photo

ORIENTATION = 0x0112
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
