"""What stands beside a photo's pixels: kept where it has a place, cleaned of pictures, and named where it is lost."""

import base64
import io
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, PngImagePlugin, features

from inpaint.errors import UserError
from inpaint.imaging.reading import read_pixels
from inpaint.photo import photoshop
from inpaint.photo.exif import BYTES_OF_KIND, clean_exif, clean_xmp, directory_of, write_directory
from inpaint.photo.files import as_photo, check_keeps, read_photo, write_photo
from inpaint.photo.left import jpeg_end
from inpaint.photo.photo import Photo

SIZE = (19, 23)  # height, width
CAPTION = b"\x1c\x02\x78\0\x03sea" + b"\x1c\x02\x19\0\x05beach"
PREVIEW = b"\x1c\x02\xc8\0\x02\0\x0b" + b"\x1c\x02\xca\x80\x04\0\0\0\x06secret"  # the second of extended length
OF_PNG = ["texts of the PNG (Title)", "how the PNG codes colours (cICP)"]
NAMED = struct.pack(">4sH", b"8BIM", 4001) + b"\x04name\0"
RESOURCES = {
    1005: b"16 of resolution",
    1028: CAPTION + PREVIEW,
    1033: b"secret of BGR",
    1036: b"secret of RGB",
    1039: b"profile",
    1050: b"slices",
    1060: b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    1061: b"digest of IPTC..",
    2000: b"path",
}


def all_resources() -> bytes:
    parts = [photoshop.resource(number, content) for number, content in RESOURCES.items()]
    return b"".join(parts) + photoshop.resource(4001, b"odd", NAMED)


def pixels(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*SIZE, channels), dtype=dtype, endpoint=True)


def picture() -> Image.Image:
    return Image.fromarray(pixels())


def exif_of(order: str, orientation: int = 1) -> bytes:
    """EXIF as cameras write it, with directories for EXIF, GPS and interoperability, and a size of the picture."""

    def value(kind: int, content: bytes) -> tuple[int, int, bytes]:
        return kind, len(content) // BYTES_OF_KIND[kind], content

    directory = {
        256: value(4, struct.pack(f"{order}L", 4000)),
        271: value(2, b"maker\0"),
        274: value(3, struct.pack(f"{order}H", orientation)),
        0x8769: {
            0x829A: value(5, struct.pack(f"{order}2L", 1, 60)),
            0x9000: value(7, b"0230"),
            0x927C: value(7, b"the maker's note"),
            0xA005: {1: value(2, b"R98\0")},
        },
        0x8825: {1: value(2, b"N\0"), 2: value(5, struct.pack(f"{order}6L", 1, 1, 2, 1, 3, 1))},
    }
    mark = b"II\x2a\0" if order == "<" else b"MM\0\x2a"
    return b"Exif\0\0" + mark + struct.pack(f"{order}L", 8) + write_directory(directory, order, 8)


def jpeg(segments: bytes = b"", behind: bytes = b"", **options) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", extra=segments, **options)
    return buffer.getvalue() + behind


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 255, marker, len(content) + 2) + content


def kept(path: Path) -> dict[int, bytes]:
    return {number: content for number, _, content in photoshop.resources(read_photo(path).photoshop)}


def xmp(inside: str) -> bytes:
    spaces = {
        "Camera": "google.com/photos/1.0/camera/",
        "hdrgm": "adobe.com/hdr-gain-map/1.0/",
        "GDepth": "google.com/photos/1.0/depthmap/",
        "GAudio": "google.com/photos/1.0/audio/",
        "Item": "google.com/photos/1.0/container/item/",
        "xmpNote": "adobe.com/xmp/note/",
        "tiff": "adobe.com/tiff/1.0/",
    }
    declared = " ".join(f'xmlns:{name}="http://ns.{uri}"' for name, uri in spaces.items())
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<r:Description {declared} tiff:Make="kept" {inside}/></r:RDF></x:xmpmeta>'
    ).encode()


def test_resources_lose_pictures_and_what_is_written_elsewhere():
    cleaned, missed = photoshop.clean_resources(all_resources(), turned=False)
    found = {number: content for number, _, content in photoshop.resources(cleaned)}
    assert found == {1005: RESOURCES[1005], 1028: CAPTION, 1050: b"slices", 2000: b"path", 4001: b"odd"}
    assert missed == []
    assert photoshop.clean_resources(cleaned, turned=False) == (cleaned, [])
    assert photoshop.resource(4001, b"odd", NAMED) in cleaned  # with its name
    turned, missed = photoshop.clean_resources(all_resources(), turned=True)
    assert [number for number, *_ in photoshop.resources(turned)] == [1005, 1028, 4001]
    assert ["guides" in name for name in missed] == [True, True]
    untouched = photoshop.resource(1028, CAPTION) + photoshop.resource(1061, b"digest")
    assert photoshop.clean_resources(untouched, turned=True) == (untouched, [])
    thumbnail = photoshop.resource(4002, b"plugin \xff\xd8\xff\xe0")
    assert photoshop.clean_resources(thumbnail, turned=False) == (b"", ["pictures among Photoshop's resources"])


def test_damaged_resources_are_left_out_and_the_others_kept():
    whole = all_resources()
    for cut in range(len(whole)):
        photoshop.clean_resources(whole[:cut], turned=True)  # raises nothing
        photoshop.clean_iptc((CAPTION + PREVIEW)[:cut])
    for damaged in (b"junk" + whole, whole + b"8BIM\x04\x04\0\0\xff\xff\xff\xff", whole[:28] + b"??" + whole[28:]):
        cleaned, missed = photoshop.clean_resources(damaged, turned=False)
        assert photoshop.iptc(cleaned) == CAPTION
        assert missed == ["damaged resources of Photoshop"]
    assert photoshop.clean_iptc(CAPTION + b"\x1c\x02\x78\xff") == CAPTION


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_iptc_goes_from_jpeg_to_any_format_with_a_place_for_it_and_back(tmp_path, split, suffix):
    """Also with a resource that is longer than a segment can be, so that it goes on in the next one."""
    resources = all_resources() + (photoshop.resource(4003, bytes(70000)) if split else b"")
    segments = photoshop.jpeg_segments(resources)
    assert segments.count(photoshop.JPEG_HEADER) == 1 + split
    (tmp_path / "p.jpg").write_bytes(jpeg(segments, exif=exif_of("<"), comment=b"a comment", dpi=(300, 300)))
    expected = {1005: RESOURCES[1005], 1028: CAPTION, 1050: b"slices", 2000: b"path", 4001: b"odd"}
    expected |= {4003: bytes(70000)} if split else {}
    assert kept(tmp_path / "p.jpg") == expected
    lost = write_photo(read_photo(tmp_path / "p.jpg"), tmp_path / f"q{suffix}")
    assert lost == (["the comment"] if suffix == ".tif" else [])
    assert kept(tmp_path / f"q{suffix}") == expected
    assert b"secret" not in (tmp_path / f"q{suffix}").read_bytes()
    write_photo(read_photo(tmp_path / f"q{suffix}"), tmp_path / "r.jpg")
    assert kept(tmp_path / "r.jpg") == expected
    with Image.open(tmp_path / "r.jpg") as file:  # beside all else
        assert file.getexif()[271] == "maker"
        assert file.info["icc_profile"] == b"profile"
        assert file.info["dpi"] == pytest.approx((300, 300), abs=1)
        assert file.info["photoshop"][1028] == CAPTION
        assert file.info.get("comment") == (None if suffix == ".tif" else b"a comment")


@pytest.mark.parametrize("kind", ["bytes", "numbers", "resources"])
def test_iptc_alone_in_a_tiff(tmp_path, kind):
    """Some programs write it as 32-bit numbers, and some write resources in its place."""
    tags = Image.Exif()
    tags[33723] = photoshop.resource(1028, CAPTION) if kind == "resources" else CAPTION.ljust(20, b"\0")
    picture().save(tmp_path / "p.tif", exif=tags)
    if kind == "numbers":
        data = (tmp_path / "p.tif").read_bytes()
        as_bytes, as_numbers = struct.pack("<HHL", 33723, 7, 20), struct.pack("<HHL", 33723, 4, 5)
        assert as_bytes in data
        (tmp_path / "p.tif").write_bytes(data.replace(as_bytes, as_numbers))
    assert kept(tmp_path / "p.tif") == {1028: CAPTION}


@pytest.mark.parametrize("alone", [True, False])
def test_iptc_in_a_png_as_imagemagick_writes_it(tmp_path, alone):
    text = PngImagePlugin.PngInfo()
    content = CAPTION if alone else photoshop.resource(1028, CAPTION)
    text.add_text("Raw profile type iptc", f"\niptc\n{len(content):8}\n{content.hex()}\n", zip=True)
    picture().save(tmp_path / "p.png", pnginfo=text)
    write_photo(read_photo(tmp_path / "p.png"), tmp_path / "q.png")
    assert kept(tmp_path / "p.png") == kept(tmp_path / "q.png") == {1028: CAPTION}
    with Image.open(tmp_path / "q.png") as file:
        file.load()
        name, length, *lines = file.text["Raw profile type iptc"].split()
    assert (name, int(length), bytes.fromhex("".join(lines))) == ("iptc", len(CAPTION), CAPTION)


@pytest.mark.parametrize("header", [b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"])
def test_profiles_of_a_jpeg_in_a_png(tmp_path, header):
    content = exif_of(">") if header == b"Exif\0\0" else header + xmp("")
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type APP1", f"\nAPP1\n{len(content):8}\n{content.hex()}\n")
    picture().save(tmp_path / "p.png", pnginfo=text)
    photo = read_photo(tmp_path / "p.png")
    assert photo.exif == (exif_of(">") if header == b"Exif\0\0" else b"")
    assert photo.info.get("xmp", b"") == (b"" if header == b"Exif\0\0" else xmp(""))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_keeps_every_tag_of_exif_as_it_is(tmp_path, order, mode, dtype):
    photo = Photo(pixels(len(mode), dtype), mode, exif=exif_of(order), info={"dpi": (300, 72), "icc_profile": b"odd"})
    lost = write_photo(photo, tmp_path / "p.tif")
    assert lost == ([] if dtype == np.uint8 or mode == "L" else ["16 bits a channel"])
    back = read_photo(tmp_path / "p.tif")
    assert (back.mode, back.info, back.dropped) == (mode, photo.info, ())
    if not lost:
        assert np.array_equal(back.pixels, photo.pixels)
    expected = directory_of(photo.exif)[1]
    del expected[256]  # which said something of the JPEG
    found = directory_of(back.exif)[1]
    assert {tag: found[tag] for tag in expected} == expected
    with Image.open(tmp_path / "p.tif") as file:
        assert file.getexif().get_ifd(0x8769)[0x927C] == b"the maker's note"
        assert file.getexif().get_ifd(0x8825)[2] == (1, 2, 3)
    write_photo(back, tmp_path / "q.tif")
    assert (tmp_path / "p.tif").read_bytes() == (tmp_path / "q.tif").read_bytes()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiff_is_turned_once(tmp_path, orientation):
    write_photo(Photo(pixels(), "RGB", exif=exif_of(">"), photoshop=all_resources()), tmp_path / "p.tif")
    data = (tmp_path / "p.tif").read_bytes()
    upright, turned = (struct.pack(">HHLH", 274, 3, 1, value) for value in (1, orientation))
    assert upright in data
    (tmp_path / "p.tif").write_bytes(data.replace(upright, turned))
    photo = read_photo(tmp_path / "p.tif")
    assert np.array_equal(photo.pixels, pixels() if orientation == 1 else np.rot90(pixels(), -1))
    assert (1050 in [number for number, *_ in photoshop.resources(photo.photoshop)]) == (orientation == 1)
    assert len(photo.dropped) == (orientation != 1)
    assert 271 in directory_of(photo.exif)[1]
    write_photo(photo, tmp_path / "q.tif")
    assert np.array_equal(read_photo(tmp_path / "q.tif").pixels, photo.pixels)


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_another_layout_or_from_no_file_keeps_what_it_says(tmp_path, big):
    tags = Image.Exif()
    tags[271], tags[34377] = "maker", all_resources()
    picture().save(tmp_path / "p.tif", exif=tags, big_tiff=big, dpi=(300, 300))
    with Image.open(tmp_path / "p.tif") as image:
        photos = [read_photo(tmp_path / "p.tif"), as_photo(image, 10**6)]
    for photo in photos:
        assert photoshop.iptc(photo.photoshop) == CAPTION
        assert directory_of(photo.exif)[1][271][2] == b"maker\0"


def test_a_large_tiff_has_several_strips(tmp_path):
    large = np.random.default_rng(0).integers(0, 9, (300, 1000, 3), dtype=np.uint8)
    write_photo(Photo(large, "RGB"), tmp_path / "p.tif")
    assert (tmp_path / "p.tif").stat().st_size < large.size // 2
    with Image.open(tmp_path / "p.tif") as file:
        assert len(file.tag_v2[273]) == 4
        assert np.array_equal(np.array(file), large)
    assert np.array_equal(cv2.imread(str(tmp_path / "p.tif"))[..., ::-1], large)


def test_exif_of_any_damage_is_written_or_said(tmp_path):
    rng, whole = np.random.default_rng(0), exif_of(">")
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(6, len(whole)))] = int(rng.integers(0, 255))
        cleaned, _ = clean_exif(bytes(damaged))
        write_photo(Photo(pixels(), "RGB", exif=cleaned), tmp_path / "p.tif")
        assert np.array_equal(read_photo(tmp_path / "p.tif").pixels, pixels())
    (tmp_path / "p.jpg").write_bytes(jpeg(exif=b"Exif\0\0II\x07\0nonsense"))
    assert read_photo(tmp_path / "p.jpg").dropped == ("EXIF (it is damaged)",)


def test_previews_in_exif_that_begin_or_are_coded_otherwise():
    """Some cameras replace a JPEG's first byte; and XMP inside EXIF holds its thumbnail in base64."""
    preview = jpeg()
    note = b"note" + b"\x07" + preview[1:] + b"; " + base64.b64encode(preview) + b"; kept"
    head = b"MM\0\x2a" + struct.pack(">LH", 8, 1) + struct.pack(">HHLL", 0x927C, 7, len(note), 26) + bytes(4)
    cleaned, _ = clean_exif(head + note)
    assert preview[2:100] not in cleaned
    assert base64.b64encode(preview)[30:90] not in cleaned
    assert cleaned.endswith(b"; kept")
    assert len(cleaned) == len(b"Exif\0\0" + head + note)


def test_a_third_directory_with_a_thumbnail():
    entries = struct.pack(">HHLL", 0x0201, 4, 1, 100) + struct.pack(">HHLL", 0x0202, 4, 1, 6)
    first = b"MM\0\x2a" + struct.pack(">LHL", 8, 0, 14)
    second = struct.pack(">HL", 0, 20)
    third = struct.pack(">H", 2) + entries + struct.pack(">L", 14)  # and back to the second
    cleaned, _ = clean_exif((first + second + third).ljust(100, b"\0") + b"secret")
    assert cleaned.endswith(bytes(6))


@pytest.mark.parametrize(
    ("inside", "dropped"),
    [
        ('Camera:MotionPhoto="1"', ["the video of a motion photo"]),
        ('Camera:MicroVideo="1" Camera:MicroVideoOffset="9"', ["the video of a motion photo"]),
        ('Camera:MotionPhoto="0"', []),
        ('hdrgm:Version="1.0"', ["a gain map (HDR)"]),
        ('GDepth:Format="RangeInverse"', ["a depth map"]),
        ('GAudio:Mime="audio/mp4"', ["sound"]),
        ('xmpNote:HasExtendedXMP="00112233"', ["extended XMP"]),
        ('Item:Length="20000"', []),
    ],
)
def test_what_only_xmp_tells_of_is_named(inside, dropped):
    packet, _, named = clean_xmp(xmp(inside))
    assert named == dropped
    assert b'tiff:Make="kept"' in packet
    assert inside.encode() not in packet


@pytest.mark.parametrize(
    ("segments", "behind", "dropped"),
    [
        (b"", bytes(100), ()),
        (b"", b"\0\0\0\x18ftypmp42" + bytes(9), ("the video of a motion photo",)),
        (b"", b"something", ("what stands behind the end of the JPEG",)),
        (segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0..."), b"", ("extended XMP",)),
        (segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0."), b"\xff\xd8 its picture", ("a gain map (HDR)",)),
        (segment(0xEB, b"JP\0\1\0\0\0\1jumb c2pa"), b"", ("content credentials (C2PA)",)),
        (segment(0xE6, b"GoPro\0..."), b"", ("APP6 (GoPro)",)),
        (segment(0xE4, b"\0\1"), b"", ("APP4",)),
        (segment(0xEC, b"Ducky\0."), b"", ()),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_what_a_jpeg_holds_and_is_not_kept_is_named(tmp_path, segments, behind, dropped, progressive):
    data = jpeg(segments, progressive=progressive)
    assert jpeg_end(data + behind) == len(data)
    (tmp_path / "p.jpg").write_bytes(data + behind)
    photo = read_photo(tmp_path / "p.jpg")
    assert photo.dropped == dropped
    assert write_photo(photo, tmp_path / "q.png") == list(dropped)


def test_what_other_formats_hold_and_is_not_kept_is_named(tmp_path):
    picture().save(tmp_path / "p.mpo", save_all=True, append_images=[picture()])
    assert read_photo(tmp_path / "p.mpo").dropped == ("further pictures",)
    tags = Image.Exif()
    tags[37724], tags[33550] = b"Adobe Photoshop Document Data Block\0secret", (1.0, 1.0, 0.0)
    picture().save(tmp_path / "p.tif", exif=tags)
    assert read_photo(tmp_path / "p.tif").dropped == ("layers", "tags of the TIFF (33550)")
    text = PngImagePlugin.PngInfo()
    text.add(b"caBX", b"jumb")
    text.add(b"mkBF", b"layers of Fireworks")
    picture().save(tmp_path / "p.png", pnginfo=text)
    assert read_photo(tmp_path / "p.png").dropped == ("content credentials (C2PA)", "chunks of the PNG (mkBF)")
    (tmp_path / "p.ppm").write_bytes(b"P6 1 1 65535\n" + bytes(6))
    assert read_photo(tmp_path / "p.ppm").dropped == ("more than 8 bits a channel",)
    (tmp_path / "p.jpg").write_bytes(jpeg(xmp=b"no XML"))
    assert read_photo(tmp_path / "p.jpg").dropped == ("XMP (it is damaged)",)
    picture().save(tmp_path / "p.jp2")
    assert read_photo(tmp_path / "p.jp2").dropped == ()


def test_every_comment_of_a_jpeg_is_kept(tmp_path):
    (tmp_path / "p.jpg").write_bytes(jpeg(segment(0xFE, b"one"), comment="zwei \u00fc".encode("latin-1")))
    write_photo(read_photo(tmp_path / "p.jpg"), tmp_path / "q.png")
    with Image.open(tmp_path / "q.png") as file:
        file.load()
        assert sorted(file.text["Comment"].split("\n")) == ["one", "zwei \u00fc"]
    write_photo(read_photo(tmp_path / "q.png"), tmp_path / "r.jpg")
    assert "zwei \u00fc" in read_photo(tmp_path / "r.jpg").info["comment"].decode()


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".jpg", ["16 bits a channel", *OF_PNG]),
        (".png", []),
        (".tif", ["16 bits a channel", "the comment", *OF_PNG]),
        (
            ".webp",
            ["16 bits a channel", "the comment", "the resolution", "IPTC", *OF_PNG],
        ),
        (
            ".bmp",
            ["16 bits a channel", "the ICC profile", "the comment", "XMP", "IPTC", *OF_PNG],
        ),
    ],
)
def test_what_a_format_has_no_room_for_is_named(tmp_path, suffix, lost):
    photo = Photo(
        pixels(3, np.uint16),
        "RGB",
        "PNG",
        info={"icc_profile": b"profile", "comment": b"hi", "xmp": xmp(""), "dpi": (300, 300)},
        chunks=((b"tEXt", b"Title\0a walk"), (b"tEXt", b"Comment\0hi"), (b"cICP", bytes(4))),
        photoshop=photoshop.resource(1028, CAPTION),
        dropped=("layers",),
    )
    assert write_photo(photo, tmp_path / f"p{suffix}") == ["layers", *lost]


def test_exif_that_a_jpeg_has_no_room_for_is_named(tmp_path):
    long = exif_of("<") + bytes(65533)
    assert write_photo(Photo(pixels(), "RGB", exif=long), tmp_path / "p.jpg") == ["EXIF"]
    assert write_photo(Photo(pixels(), "RGB", exif=long), tmp_path / "p.webp") == []
    assert write_photo(Photo(pixels(), "RGB", exif=exif_of("<")), tmp_path / "p.bmp") == ["EXIF"]


@pytest.mark.parametrize(("suffix", "mode"), [(".jpg", "RGBA"), (".jpe", "LA"), (".jfif", "RGBA"), (".bmp", "LA")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_that_is_opaque_needs_no_room(tmp_path, suffix, mode, dtype):
    photo = Photo(pixels(len(mode), dtype), mode)
    photo.pixels[..., -1] = np.iinfo(dtype).max
    marked = np.zeros(SIZE, bool)
    check_keeps(photo, tmp_path / f"p{suffix}")
    write_photo(photo, tmp_path / f"p{suffix}")
    assert read_photo(tmp_path / f"p{suffix}").mode == mode[:-1]
    photo.pixels[3, 4, -1], marked[3, 4] = 0, True
    check_keeps(photo, tmp_path / f"p{suffix}", marked)
    for check in (check_keeps, write_photo):
        with pytest.raises(UserError, match=rf"has transparency, which {suffix} cannot keep"):
            check(photo, tmp_path / f"p{suffix}")
    with pytest.raises(UserError, match="has transparency"):
        check_keeps(photo, tmp_path / f"p{suffix}", np.zeros(SIZE, bool))


def test_a_photo_larger_than_a_format_allows():
    photo = Photo(np.zeros((1, 16384, 3), np.uint8), "RGB")
    with pytest.raises(UserError, match=r"has 16384 x 1 pixels, but \.webp holds at most 16383 a side: write a \.png"):
        check_keeps(photo, Path("p.webp"))
    check_keeps(photo, Path("p.jpg"))


def test_resolutions_that_are_no_number_are_left_out(tmp_path):
    tags = Image.Exif()
    tags[282], tags[283] = 1e9, 300.0
    picture().save(tmp_path / "p.tif", exif=tags)
    photo = read_photo(tmp_path / "p.tif")
    assert "dpi" not in photo.info
    for suffix in (".jpg", ".png", ".tif", ".bmp"):
        write_photo(photo, tmp_path / f"q{suffix}")


def heic(path: Path, image: Image.Image, **said: bytes) -> None:
    file = pillow_heif.from_pillow(image)
    file.info.update(said)
    file.save(path, quality=90)


def broad() -> Image.Image:
    """Red left, blue right, large enough for a HEIC."""
    image = Image.new("RGB", (96, 64), (200, 0, 0))
    image.paste((0, 0, 200), (48, 0, 96, 64))
    return image


def test_heic_is_turned_once_and_keeps_what_it_says(tmp_path):
    heic(tmp_path / "p.heic", broad(), exif=exif_of("<", 6), xmp=xmp("tiff:Orientation='6'"), icc_profile=b"profile")
    photo = read_photo(tmp_path / "p.heic")
    assert photo.size == (96, 64)
    assert photo.pixels[:40, :, 0].min() > 150  # red on top
    assert photo.dropped == ()
    assert read_pixels(tmp_path / "p.heic").shape == (3, 96, 64)
    for suffix in (".jpg", ".png", ".tif"):
        assert write_photo(photo, tmp_path / f"q{suffix}") == []
        back = read_photo(tmp_path / f"q{suffix}")
        assert back.size == (96, 64)
        assert directory_of(back.exif)[1][0x8769] == directory_of(exif_of("<"))[1][0x8769]
        assert b'tiff:Make="kept"' in back.info["xmp"]


def test_heic_with_more_than_the_photo(tmp_path):
    file = pillow_heif.from_pillow(broad().rotate(180))
    file.add_from_pillow(broad())
    file.save(tmp_path / "two.heic", primary_index=1)
    two = read_photo(tmp_path / "two.heic")
    assert two.pixels[:, :40, 0].min() > 150
    assert two.dropped == ("further pictures",)
    deep = np.array(broad()).astype(np.uint16) * 257
    pillow_heif.encode("RGB;16", broad().size, deep.tobytes(), tmp_path / "deep.heif")
    assert read_photo(tmp_path / "deep.heif").dropped == ("more than 8 bits a channel",)
    heic(tmp_path / "alpha.heic", broad().convert("RGBA"))
    assert (read_photo(tmp_path / "alpha.heic").mode, read_photo(tmp_path / "alpha.heic").dropped) == ("RGBA", ())


def test_heic_that_cannot_be_read(tmp_path, monkeypatch):
    heic(tmp_path / "p.heic", broad())
    data = (tmp_path / "p.heic").read_bytes()
    with pytest.raises(UserError, match="96 x 64 pixels, more than the 99"):
        read_photo(tmp_path / "p.heic", 99)
    (tmp_path / "cut.heic").write_bytes(data[:-100])
    with pytest.raises(UserError, match=r"cut\.heic cannot be read as a picture: .*[^\n]\Z"):
        read_photo(tmp_path / "cut.heic")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pillow_heif", None)
        for brand in (b"heic", b"hevc", b"mif1"):
            (tmp_path / "p.jpg").write_bytes(data.replace(b"ftypheic", b"ftyp" + brand))  # whatever it is called
            with pytest.raises(UserError, match=r"p\.jpg is a HEIC .*pip install 'neural-patch-synthesis\[heif\]'"):
                read_photo(tmp_path / "p.jpg")
        broad().save(tmp_path / "p.avif")
        avif = (tmp_path / "p.avif").read_bytes()
        (tmp_path / "q.avif").write_bytes(avif.replace(b"ftypavif", b"ftypmif1"))
        assert read_photo(tmp_path / "q.avif").size == (64, 96)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_is_turned_once_and_says_that_it_has_more_bits(tmp_path, orientation):
    broad().save(tmp_path / "p.avif", exif=exif_of("<", orientation))
    photo = read_photo(tmp_path / "p.avif")
    assert photo.size == ((64, 96) if orientation == 1 else (96, 64))
    assert photo.dropped == ()
    cv2.imwrite(str(tmp_path / "deep.avif"), np.zeros((64, 64, 3), np.uint16), [cv2.IMWRITE_AVIF_DEPTH, 10])
    assert read_photo(tmp_path / "deep.avif").dropped == ("more than 8 bits a channel",)


def test_avif_without_a_pillow_that_reads_it(tmp_path, monkeypatch):
    (tmp_path / "p.avif").write_bytes(b"\0\0\0\x1cftypavif" + bytes(40))
    with pytest.raises(UserError, match=r"p\.avif is not a picture"):
        read_photo(tmp_path / "p.avif")
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(UserError, match=r"p\.avif is an AVIF .*pip install --upgrade pillow"):
        read_photo(tmp_path / "p.avif")


def psd(layers: int) -> bytes:
    """Two pixels, IPTC, EXIF and XMP, and layers of one pixel."""
    resources = photoshop.resource(1028, CAPTION) + photoshop.resource(1058, exif_of(">")[6:])
    resources += photoshop.resource(1060, xmp(""))
    record = struct.pack(">LLLLH", 0, 0, 1, 2, 3) + b"".join(struct.pack(">hL", channel, 4) for channel in range(3))
    record += b"8BIMnorm" + bytes([255, 0, 0, 0]) + struct.pack(">L", 12) + bytes(8) + b"\1L\0\0"
    held = struct.pack(">h", layers) + record * layers + b"\0\0\1\2" * 3 * layers
    held = struct.pack(">L", len(held)) + held + bytes(4) if layers else b""
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HLLHH", 3, 1, 2, 8, 3) + bytes(4)
    blocks = b"".join(struct.pack(">L", len(block)) + block for block in (resources, held))
    return head + blocks + b"\0\0" + bytes([10, 20, 30, 40, 50, 60])


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_psd_is_its_composite(tmp_path, layers):
    (tmp_path / "p.psd").write_bytes(psd(layers))
    photo = read_photo(tmp_path / "p.psd")
    assert photo.pixels.tolist() == [[[10, 30, 50], [20, 40, 60]]]
    assert photo.dropped == (("layers",) if layers else ())
    assert photo.exif == exif_of(">")
    assert photo.info["xmp"] == xmp("")
    assert photoshop.iptc(photo.photoshop) == CAPTION


def test_files_of_one_picture_in_formats_that_may_hold_several(tmp_path):
    for suffix in ("gif", "ico"):
        Image.new("RGB", (32, 32), "red").save(tmp_path / f"p.{suffix}")
        assert read_photo(tmp_path / f"p.{suffix}").size == (32, 32)
    thumbnail = Image.Exif()
    thumbnail[254] = 1
    small = picture().resize((4, 4))
    small.encoderinfo = {"exif": thumbnail}
    picture().save(tmp_path / "p.tif", save_all=True, append_images=[small])
    assert np.array_equal(read_photo(tmp_path / "p.tif").pixels, pixels())
