"""Rotates a photo upright by its EXIF or XMP, and deletes thumbnails beside the pixels: they show what was removed."""

import re
import struct
from dataclasses import replace
from xml.dom import minidom
from xml.parsers.expat import ExpatError

import numpy as np

from inpaint.photo.photo import Photo
from inpaint.photo.photoshop import clean_resources

ORIENTATION = 0x0112
DIRECTORIES = {0x8769, 0x8825, 0xA005}  # the tags that say where another one stands: of EXIF, GPS, interoperability
BYTES_OF_KIND = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8), start=1))  # that one value takes
MARKS = {"<": b"II\x2a\0", ">": b"MM\0\x2a"}  # with which EXIF and a TIFF of each byte order begin
Directory = dict[int, "tuple[int, int, bytes] | Directory"]  # by tag: kind, number and bytes of its values
THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # where it begins and how long it is: a JPEG's, or each strip's
TIFF = "http://ns.adobe.com/tiff/1.0/"
DECLARATION = "http://www.w3.org/2000/xmlns/"  # of a namespace: says nothing of the photo
TURNED_BY_THE_CONTAINER = ("HEIF", "AVIF")  # as Pillow then says in EXIF; XMP does not count
GAIN_MAP, VIDEO, DEPTH = "a gain map (HDR)", "the video of a motion photo", "a depth map"
OTHER_DATA = {
    re.compile(pattern): name
    for pattern, name in {
        r"http://ns\.adobe\.com/xmp/note/": "extended XMP",
        r"http://ns\.(adobe\.com/hdr-gain-map|apple\.com/HDRGainMap)/": GAIN_MAP,
        r"http://ns\.google\.com/photos/1\.0/camera/(MotionPhoto|MicroVideo)": VIDEO,
        r"http://ns\.google\.com/photos/(dd|1\.0/depthmap)/": DEPTH,
        r"http://ns\.google\.com/photos/1\.0/audio/": "sound",
        r"http://ns\.google\.com/photos/1\.0/image/": "a picture in XMP",
        r"http://ns\.google\.com/photos/1\.0/container/": "",  # lists what the others describe
        r"http://ns\.adobe\.com/xap/1\.0/g/img/": "",  # thumbnails
    }.items()
}
"""Namespaces, and names after them, of what lies elsewhere in the file and is not kept, and how to call that."""
PICTURE_IN_BASE64 = re.compile(r"\s*(data:image/[^,]*,)?\s*(/9j/|iVBORw0KGgo|R0lGOD|UklGR)")  # JPEG, PNG, GIF, WebP


def upright(photo: Photo) -> Photo:
    """Turns a photo as its EXIF says, or else its XMP; both then say that it is upright, and hold no thumbnail."""
    exif, orientation = clean_exif(photo.exif)
    dropped = [*photo.dropped, *(["EXIF (it is damaged)"] if photo.exif and not exif else [])]
    info = dict(photo.info)
    if packet := info.pop("xmp", None):
        cleaned, in_xmp, other_data = clean_xmp(packet)
        if photo.format not in TURNED_BY_THE_CONTAINER:
            orientation = orientation or in_xmp
        info |= {"xmp": cleaned} if cleaned else {}
        dropped += other_data if cleaned else ["XMP (it is damaged)"]
    turned = orientation in range(2, 9)
    photoshop, missed = clean_resources(photo.photoshop, turned)
    pixels = photo.pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else photo.pixels
    pixels = pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
    pixels = pixels[::-1] if orientation in (3, 4, 7, 8) else pixels
    return replace(
        photo,
        pixels=np.ascontiguousarray(pixels),
        exif=exif,
        info=info,
        photoshop=photoshop,
        dropped=tuple(dict.fromkeys([*dropped, *missed])),
    )


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

        if struct.unpack_from(f"{order}H", data, 2) != (42,):  # the mark of a TIFF, as which EXIF is laid out
            raise ValueError
        main, link = entries(struct.unpack_from(f"{order}L", data, 4)[0])
        if ORIENTATION in main:
            place, orientation = main[ORIENTATION][:2]
            struct.pack_into(f"{order}H", data, place, 1)
        while link + 4 <= len(data):  # a second directory, and any after it, describe thumbnails
            (following,) = struct.unpack_from(f"{order}L", data, link)
            struct.pack_into(f"{order}L", data, link, 0)  # which also ends a chain that bites its tail
            if not following:
                break
            thumbnail, link = entries(following)
            for begins, lengths in THUMBNAIL:
                for begin, length in zip(thumbnail.get(begins, ())[1:], thumbnail.get(lengths, ())[1:], strict=False):
                    data[begin : begin + length] = bytes(len(data[begin : begin + length]))
    except (KeyError, ValueError, struct.error):
        return b"", orientation
    blank_jpegs(data)
    return b"Exif\0\0" + bytes(data), orientation


def directory_of(exif: bytes) -> tuple[str, Directory]:
    """The byte order of EXIF, or of a TIFF, and the first of its directories; an empty one if it makes no sense."""
    data = exif.removeprefix(b"Exif\0\0")
    order = next((order for order, mark in MARKS.items() if data.startswith(mark) and len(data) >= 8), None)
    if order is None:
        return "<", {}
    return order, read_directory(data, order, struct.unpack_from(f"{order}L", data, 4)[0])


def read_directory(data: bytes, order: str, at: int, depth: int = 0) -> Directory:
    """All tags of a directory as they lie in the file, with the directories inside it; damaged ones are left out."""
    found: Directory = {}
    (count,) = struct.unpack_from(f"{order}H", data, at) if at + 2 <= len(data) else (0,)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHL", data, entry)
        size = BYTES_OF_KIND.get(kind, 0) * length
        place = entry + 8 if size <= 4 else struct.unpack_from(f"{order}L", data, entry + 8)[0]
        content = data[place : place + size]
        if tag in DIRECTORIES and size == 4 and depth < len(DIRECTORIES):
            found[tag] = read_directory(data, order, struct.unpack(f"{order}L", content)[0], depth + 1)
        elif size and len(content) == size:
            found[tag] = kind, length, content
    return found


def write_directory(directory: Directory, order: str, at: int) -> bytes:
    """Lays out a directory that is to stand at `at`, and behind it what has no room in its entries."""
    begin, entries, behind = at + 2 + 12 * len(directory) + 4, b"", b""
    for tag, value in sorted(directory.items()):
        place = begin + len(behind)
        kind, length, content = (4, 1, write_directory(value, order, place)) if isinstance(value, dict) else value
        field = content.ljust(4, b"\0")
        if isinstance(value, dict) or len(content) > 4:
            field = struct.pack(f"{order}L", place)
            behind += content + bytes(len(content) % 2)
        entries += struct.pack(f"{order}HHL", tag, kind, length) + field
    return struct.pack(f"{order}H", len(directory)) + entries + bytes(4) + behind


def blank_jpegs(data: bytearray) -> None:
    """Overwrites each JPEG in `data` with zeros: cameras keep previews in notes of their own, each in its own way.

    Some replace the first byte, so any will do: what follows has to be laid out as a JPEG is.
    """
    for match in re.finditer(rb"/9j/[A-Za-z0-9+/\s]{60,}", bytes(data)):  # in base64, as in XMP
        data[match.start() : match.end()] = bytes(len(match[0]))
    for begin in (match.start() for match in re.finditer(rb"(?s).\xd8(?=\xff[\xc0-\xfe])", bytes(data))):
        at = begin + 2
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b""):  # until the pixels begin
            at += 1 if data[at + 1] == 0xFF else 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        if data[begin + 1] == 0xD8 and data[at : at + 2] == b"\xff\xda":
            end = data.find(b"\xff\xd9", at)
            end = len(data) if end < 0 else end + 2
            data[begin:end] = bytes(end - begin)


def clean_xmp(packet: bytes | str) -> tuple[bytes, int | None, list[str]]:
    """Takes pictures out of XMP, and what describes videos, gain maps and the like, which are not kept.

    `tiff:Orientation` becomes 1. XMP without any of these comes back byte by byte.

    Returns:
        The XMP, empty if it cannot be parsed; the orientation that it had, 1 to 8, None if it says nothing of it; and
        the names of what it described that is not kept.
    """
    packet = packet.encode() if isinstance(packet, str) else packet
    orientation = None
    described: list[str] = []
    try:
        if b"<!DOCTYPE" in packet:  # may declare entities, of which XMP has none
            return b"", None, []
        document = minidom.parseString(packet.rstrip(b"\0"))
        before = document.toxml()
        for element in document.getElementsByTagName("*"):
            for attribute in list(element.attributes.values()):
                if attribute.namespaceURI == DECLARATION:
                    continue
                if (name := why_it_goes(attribute, attribute.value)) is not None:
                    described.append(name)
                    element.removeAttributeNode(attribute)
                elif (attribute.namespaceURI, attribute.localName) == (TIFF, "Orientation"):
                    orientation = orientation or attribute.value
                    attribute.value = "1"
            texts = [child for child in element.childNodes if isinstance(child, minidom.Text)]
            text = "".join(part.data for part in texts).strip()
            if (name := why_it_goes(element, text)) is not None and element.parentNode:
                described.append(name)
                element.parentNode.removeChild(element)
            elif (element.namespaceURI, element.localName) == (TIFF, "Orientation"):
                orientation = orientation or text
                for number, part in enumerate(texts):
                    part.data = "" if number else "1"
        if document.toxml() != before:
            packet = "".join(node.toxml() for node in document.childNodes).encode()
    except (ExpatError, ValueError, RecursionError):
        return b"", None, []
    told = int(orientation) if orientation in list("12345678") else None
    return packet, told, [name for name in dict.fromkeys(described) if name]


def why_it_goes(node: minidom.Element | minidom.Attr, value: str) -> str | None:
    """None for a property that stays; for one that holds a picture, or describes what is not kept, what that is.

    It is empty for thumbnails, and for what a property says there is none of.
    """
    if "thumbnail" in (node.localName or "").lower():
        return ""
    name = f"{node.namespaceURI}{node.localName}"
    for pattern, described in OTHER_DATA.items():
        if pattern.match(name):
            return described if value != "0" else ""
    return "" if PICTURE_IN_BASE64.match(value) else None
