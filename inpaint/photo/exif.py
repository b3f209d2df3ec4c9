"""Rotates a photo upright by its EXIF or XMP, and deletes thumbnails in them, which show what was removed."""

import re
import struct
from dataclasses import replace
from xml.dom import minidom
from xml.parsers.expat import ExpatError

import numpy as np

from inpaint.photo.photo import Photo

ORIENTATION = 0x0112
THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # where it begins and how long it is: a JPEG's, or each strip's
TIFF = "http://ns.adobe.com/tiff/1.0/"
DECLARATION = "http://www.w3.org/2000/xmlns/"  # of a namespace: says nothing of the photo
DESCRIBES_OTHER_DATA = re.compile(
    r"http://ns\.adobe\.com/(xmp/note/|hdr-gain-map/|xap/1\.0/g/img/)|http://ns\.apple\.com/HDRGainMap/"
    r"|http://ns\.google\.com/photos/(dd/|1\.0/(container|image|depthmap|audio|camera/(MotionPhoto|MicroVideo)))"
)
"""Namespaces, and names after them, of what lies elsewhere in the file and is not kept: videos, depth, gain maps."""
PICTURE_IN_BASE64 = re.compile(r"\s*(/9j/|iVBORw0KGgo|R0lGOD|UklGR)")  # JPEG, PNG, GIF, WebP


def upright(photo: Photo) -> Photo:
    """Turns a photo as its EXIF says, or else its XMP; both then say that it is upright, and hold no thumbnail."""
    exif, orientation = clean_exif(photo.exif)
    info = dict(photo.info)
    if packet := info.pop("xmp", None):
        cleaned, in_xmp = clean_xmp(packet)
        orientation = orientation or in_xmp
        info |= {"xmp": cleaned} if cleaned else {}
    pixels = photo.pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else photo.pixels
    pixels = pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
    pixels = pixels[::-1] if orientation in (3, 4, 7, 8) else pixels
    return replace(photo, pixels=np.ascontiguousarray(pixels), exif=exif, info=info)


def clean_exif(exif: bytes) -> tuple[bytes, int | None]:
    """Makes EXIF say "upright" and blanks all thumbnails and previews in it; each other byte stays as it was.

    Rewritten, it would lose cameras' private notes, whose offsets count from the start.

    Returns:
        The EXIF, beginning with "Exif" as in a JPEG, empty if it makes no sense; and the orientation that it had, None
        if it says nothing of it.
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


def clean_xmp(packet: bytes | str) -> tuple[bytes, int | None]:
    """Takes pictures out of XMP, and what describes videos, gain maps and the like, which are not kept.

    `tiff:Orientation` becomes 1. XMP without any of these comes back byte by byte.

    Returns:
        The XMP, empty if it cannot be parsed; and the orientation that it had, 1 to 8, None if it says nothing of it.
    """
    packet = packet.encode() if isinstance(packet, str) else packet
    orientation = None
    try:
        if b"<!DOCTYPE" in packet:  # may declare entities, of which XMP has none
            return b"", None
        document = minidom.parseString(packet.rstrip(b"\0"))
        before = document.toxml()
        for element in document.getElementsByTagName("*"):
            for attribute in list(element.attributes.values()):
                if attribute.namespaceURI == DECLARATION:
                    continue
                if has_to_go(attribute, attribute.value):
                    element.removeAttributeNode(attribute)
                elif (attribute.namespaceURI, attribute.localName) == (TIFF, "Orientation"):
                    orientation = orientation or attribute.value
                    attribute.value = "1"
            texts = [child for child in element.childNodes if isinstance(child, minidom.Text)]
            text = "".join(part.data for part in texts).strip()
            if has_to_go(element, text) and element.parentNode:
                element.parentNode.removeChild(element)
            elif (element.namespaceURI, element.localName) == (TIFF, "Orientation"):
                orientation = orientation or text
                for number, part in enumerate(texts):
                    part.data = "" if number else "1"
        if document.toxml() != before:
            packet = "".join(node.toxml() for node in document.childNodes).encode()
    except (ExpatError, ValueError, RecursionError):
        return b"", None
    return packet, int(orientation) if orientation in list("12345678") else None


def has_to_go(node: minidom.Element | minidom.Attr, value: str) -> bool:
    """Whether a property holds a picture, or describes something that is not kept."""
    return (
        "thumbnail" in (node.localName or "").lower()
        or PICTURE_IN_BASE64.match(value) is not None
        or DESCRIBES_OTHER_DATA.match(f"{node.namespaceURI}{node.localName}") is not None
    )
