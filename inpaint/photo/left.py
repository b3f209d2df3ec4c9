"""Names what a photo's file holds that is not kept, so that a person learns of it."""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, TiffTags
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PsdImagePlugin import PsdImageFile
from PIL.TiffImagePlugin import TiffImageFile

from inpaint.imaging.reading import holds_16_bit_grey
from inpaint.photo.exif import DEPTH, GAIN_MAP, VIDEO
from inpaint.photo.tiff import DESCRIPTIVE, LAST_OF_LAYOUT, LAYERS_TAG, WRITTEN_OTHERWISE

LAYERS, CREDENTIALS, FURTHER = "layers", "content credentials (C2PA)", "further pictures"
MP_ENTRIES = 0xB002  # of an MPO: what pictures it holds
CREDENTIALS_CHUNK = b"caBX"  # of a PNG
CHUNKS_THAT_SAY_NOTHING = {b"iDOT", b"vpAg", b"orNT", b"caNv"}  # of the photo that is written, of all private ones
SEGMENTS_READ = re.compile(  # of a JPEG, after their marker: those that are kept, laid out anew or say nothing
    rb"APP0(JFIF|JFXX)|APP1(Exif\0|http://ns\.adobe\.com/xap/1\.0/\0)|APP2(ICC_PROFILE\0|MPF\0|FPXR\0)|APP12Ducky"
    rb"|APP13(Photoshop 3\.0\0|Adobe_CM)|APP14Adobe|COM"
)
SEGMENTS_LEFT = {  # and how to call others
    b"APP1http://ns.adobe.com/xmp/extension/": "extended XMP",
    b"APP2urn:iso:std:iso:ts:21496": GAIN_MAP,
    b"APP11JP": CREDENTIALS,
    b"APP1FLIR": "the temperatures of a thermal camera",
}
PIXELS_END = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")  # in a JPEG


def left_behind(image: Image.Image, path: Path | None) -> Iterator[str]:
    """Names what an image's file (None: it comes from none) holds beside the photo that is not kept, but for previews.

    `has_more_than_8_bits` tells of the pixels themselves, and `clean_xmp` names what only XMP tells of.
    """
    if image.format == "HEIF":
        if any("hdrgainmap" in kind for kind in image.info.get("aux", {})):
            yield GAIN_MAP
        if image.info.get("depth_images"):
            yield DEPTH
        if getattr(image, "n_frames", 1) > 1:
            yield FURTHER
    elif isinstance(image, PsdImageFile):
        if image.n_frames:
            yield LAYERS
    elif isinstance(image, TiffImageFile):
        if LAYERS_TAG in image.tag_v2:
            yield LAYERS
        known = DESCRIPTIVE | WRITTEN_OTHERWISE | TiffTags.LIBTIFF_CORE
        if unknown := sorted(tag for tag in set(image.tag_v2) - known if tag > LAST_OF_LAYOUT):
            yield f"tags of the TIFF ({', '.join(map(str, unknown))})"
    elif isinstance(image, PngImageFile):
        private = {kind for kind, *_ in image.private_chunks} - CHUNKS_THAT_SAY_NOTHING
        if CREDENTIALS_CHUNK in private:
            yield CREDENTIALS
        if names := sorted(kind.decode("latin-1") for kind in private - {CREDENTIALS_CHUNK}):
            yield f"chunks of the PNG ({', '.join(names)})"
    elif image.format == "JPEG2000" and path:
        if re.search(rb"uuid(JpgTiffExif->JP2|\xbe\x7a\xcf\xcb)|colr\x02", beginning(path)):
            yield "EXIF, XMP or profile of JPEG 2000"
    elif isinstance(image, JpegImageFile):
        yield from left_in_jpeg(image, path.read_bytes() if path else b"")


def left_in_jpeg(image: JpegImageFile, data: bytes) -> Iterator[str]:
    """Names what stands in a JPEG's segments, and behind its end, that is not kept."""
    for name, content in image.applist:
        begin = name.encode() + content[:40]
        if not SEGMENTS_READ.match(begin):
            found = [what for start, what in SEGMENTS_LEFT.items() if begin.startswith(start)]
            title = re.findall(rb"^[!-~]+", content[:20])
            yield from found or [f"{name} ({title[0].decode()})" if title else name]
    behind = data[jpeg_end(data) :].strip(b"\0\xff")
    if isinstance(image, MpoImageFile):
        kinds = [str(entry["Attribute"]["MPType"]) for entry in (image.mpinfo or {})[MP_ENTRIES][1:]]
        if not all("Thumbnail" in kind for kind in kinds):
            yield FURTHER
    elif re.search(rb"ftyp(mp4|isom|qt|avc|3gp)", behind):
        yield VIDEO
    elif behind and not re.search(rb"GainMap|hdr-gain-map|ts:21496", b"".join(part for _, part in image.applist)):
        yield "what stands behind the end of the JPEG"


def jpeg_end(data: bytes) -> int:
    """Where a JPEG ends that stands first; where all does if it does not end."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:  # the coded pixels follow, up to a marker other than those that stand in them
            found = PIXELS_END.search(data, at)
            at = found.start() if found else len(data)
    return len(data)


def has_more_than_8_bits(image: Image.Image, path: str | Path) -> bool:
    """Whether a picture, of which Pillow gives 8 bits a channel, has more of them in its file."""
    if image.format == "PPM":  # whose decoder is told the largest value
        arguments = image.tile[0].args  # type: ignore[attr-defined]
        return image.mode == "RGB" and isinstance(arguments, tuple) and arguments[-1] > 255
    if image.format == "HEIF":
        return image.info.get("bit_depth", 8) > 8
    if image.format == "AVIF":  # a flag in the description of the coding
        return re.search(rb"(?s)av1C\x81.[\x40-\x7f\xc0-\xff]", beginning(path)) is not None
    if image.format == "JPEG2000" and not holds_16_bit_grey(image):  # the bits of the first channel, less 1
        found = re.search(rb"(?s)\xff\x4f\xff\x51.{38}(.)", beginning(path))
        return found is not None and found[1][0] & 127 > 7
    return False


def beginning(path: str | Path) -> bytes:
    """As much of a file as holds the descriptions before the pixels."""
    with Path(path).open("rb") as file:
        return file.read(1 << 16)
