"""Reads, cleans and lays out the image resources of Photoshop, among which JPEG, TIFF and PNG hold IPTC."""

import re
import struct
from collections.abc import Iterable, Iterator

JPEG_HEADER = b"Photoshop 3.0\0"  # of each segment APP13 that holds them
SIGNATURE = re.compile(rb"8BIM|MeSa|AgHg|PHUT|DCSR")
IPTC, IPTC_DIGEST, ICC_PROFILE, EXIF, XMP = 1028, 1061, 1039, 1058, 1060
WRITTEN_ELSEWHERE = {ICC_PROFILE, EXIF, 1059, XMP}
THUMBNAILS = {1033, 1036}
PLACED = {1032, 1050, 1080, *range(2000, 3000)}  # guides, slices, counts and paths lie somewhere in the picture
PICTURE = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n")
IPTC_PREVIEW = {200, 201, 202}  # datasets of record 2


def resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The resources in a row: number, all that stands before the length, and content; damaged ones are passed over."""
    at = 0
    while match := SIGNATURE.search(data, at):
        begin = match.start()
        named = begin + 7 + (data[begin + 6] if begin + 6 < len(data) else 0)
        named += (named - begin) % 2
        if named + 4 <= len(data):
            (length,) = struct.unpack_from(">L", data, named)
            end = named + 4 + length
            if end <= len(data):
                yield int.from_bytes(data[begin + 4 : begin + 6]), data[begin:named], data[named + 4 : end]
                at = end + length % 2
                continue
        at = begin + 4


def resource(number: int, content: bytes, head: bytes = b"") -> bytes:
    """Lays out a resource; without `head` it has no name."""
    head = head or struct.pack(">4sHH", b"8BIM", number, 0)
    return head + struct.pack(">L", len(content)) + content + bytes(len(content) % 2)


def with_iptc(data: bytes, alone: bytes) -> bytes:
    """Resources with the IPTC that stands alone beside them, if they have none of their own.

    Some programs write resources in the place of IPTC, too.
    """
    if iptc(data):
        return data
    return data + (resource(IPTC, alone) if alone.startswith(b"\x1c") else alone)


def iptc(data: bytes) -> bytes:
    """The IPTC among resources."""
    return b"".join(content for number, _, content in resources(data) if number == IPTC)


def clean_resources(data: bytes, turned: bool) -> tuple[bytes, list[str]]:
    """Leaves out what shows the photo, what is written elsewhere, and, of a turned photo, what lies somewhere in it.

    Returns:
        The resources that are left, each byte of them as it was but IPTC's previews; and what a person may miss.
    """
    kept, missed, read, digest_holds = [], [], 0, True
    for number, head, content in resources(data):
        read += len(resource(number, content, head))
        if number in WRITTEN_ELSEWHERE | THUMBNAILS:
            continue
        if turned and number in PLACED:
            missed.append("Photoshop's paths, guides and slices (they would lie elsewhere in the turned photo)")
            continue
        if number == IPTC:
            cleaned = clean_iptc(content)
            digest_holds &= cleaned == content
            content = cleaned
        elif PICTURE.search(content):
            missed.append("pictures among Photoshop's resources")
            continue
        kept.append((number, head, content))
    if read < len(data.rstrip(b"\0")):
        missed.append("damaged resources of Photoshop")
    return b"".join(
        resource(number, content, head) for number, head, content in kept if digest_holds or number != IPTC_DIGEST
    ), missed


def clean_iptc(data: bytes) -> bytes:
    """Leaves out the preview of the photo in IPTC, and what stands behind the place where it stops making sense."""
    kept, at = [], 0
    while data[at : at + 1] == b"\x1c" and at + 5 <= len(data):
        record, dataset, length = struct.unpack_from(">BBH", data, at + 1)
        begin = at + 5
        if length & 0x8000:  # of so many bytes is the length that follows
            begin += length & 0x7FFF
            length = int.from_bytes(data[at + 5 : begin])
        end = begin + length
        if end > len(data):
            break
        if record != 2 or dataset not in IPTC_PREVIEW:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def jpeg_segments(data: bytes) -> bytes:
    """Lays out resources as segments of a JPEG, of which one holds at most 65533 bytes."""
    room = 65533 - len(JPEG_HEADER)
    parts: Iterable[bytes] = (data[at : at + room] for at in range(0, len(data), room))
    return b"".join(
        b"\xff\xed" + struct.pack(">H", 2 + len(JPEG_HEADER) + len(part)) + JPEG_HEADER + part for part in parts
    )
