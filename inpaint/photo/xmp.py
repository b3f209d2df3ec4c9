"""Cleans XMP, the XML that programs put beside a picture: no pictures in it, no orientation, nothing that is gone."""

import re
from xml.dom import minidom
from xml.parsers.expat import ExpatError

TIFF = "http://ns.adobe.com/tiff/1.0/"
DECLARATION = "http://www.w3.org/2000/xmlns/"  # of a namespace: says nothing of the photo
DESCRIBES_OTHER_DATA = re.compile(
    r"http://ns\.adobe\.com/(xmp/note/|hdr-gain-map/|xap/1\.0/g/img/)|http://ns\.apple\.com/HDRGainMap/"
    r"|http://ns\.google\.com/photos/(dd/|1\.0/(container|image|depthmap|audio|camera/(MotionPhoto|MicroVideo)))"
)
"""Namespaces, and names after them, of what lies elsewhere in the file and is not kept: videos, depth, gain maps."""
PICTURE_IN_BASE64 = re.compile(r"\s*(/9j/|iVBORw0KGgo|R0lGOD|UklGR)")  # JPEG, PNG, GIF, WebP


def clean_xmp(packet: bytes | str) -> tuple[bytes, int | None]:
    """Takes out of XMP what would show or misdescribe the photo as it was, and says that it is upright.

    Pictures (thumbnails, originals) and what describes videos, gain maps and the like, which are not kept, are taken
    out, and `tiff:Orientation` becomes 1. XMP without any of these comes back byte by byte.

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
