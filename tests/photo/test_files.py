import base64
import io
import re
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin

from inpaint.errors import UserError
from inpaint.imaging.reading import opened
from inpaint.photo.exif import clean_exif, clean_xmp
from inpaint.photo.files import check_keeps, check_target, read_photo, target_for, write_photo
from inpaint.photo.photo import Photo, blend, colours_from_rgb, rgb_from_pixels
from inpaint.photo.png import encode_png

SIZE = (19, 23)  # height, width


def noise(channels: int, dtype: type = np.uint8, size: tuple[int, int] = SIZE) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (*size, channels), dtype=dtype, endpoint=True)


def image(mode: str) -> Image.Image:
    pixels = noise(len(mode))
    return Image.frombytes(mode, SIZE[::-1], pixels.tobytes())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_comes_back_bit_by_bit(tmp_path, mode, dtype):
    photo = Photo(noise(len(mode), dtype), mode)
    write_photo(photo, tmp_path / "p.png")
    back = read_photo(tmp_path / "p.png")
    assert back.mode == mode
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, photo.pixels)
    with Image.open(tmp_path / "p.png") as seen:  # as everyone else sees it
        seen.load()
        assert seen.size == SIZE[::-1]
        if dtype == np.uint8:
            assert np.array_equal(np.array(seen).reshape(*SIZE, -1), photo.pixels)


def test_16_bit_png_with_every_filter_and_interlace_is_read(tmp_path):
    """Rows filtered by average and Paeth, which our own writer does not use."""
    pixels = noise(3, np.uint16, (4, 5))
    rows = pixels.astype(">u2").reshape(4, -1).view(np.uint8).astype(int)
    out, above = b"", np.zeros_like(rows[0])
    for kind, row in zip((3, 4, 1, 2), rows, strict=True):
        left = np.concatenate([np.zeros(6, int), row[:-6]])
        corner = np.concatenate([np.zeros(6, int), above[:-6]])
        p = left + above - corner
        a, b, c = abs(p - left), abs(p - above), abs(p - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        guess = {1: left, 2: above, 3: (left + above) // 2, 4: paeth}[kind]
        out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    data = encode_png(Photo(pixels, "RGB"))
    at = data.index(b"IDAT")
    length = struct.unpack(">L", data[at - 4 : at])[0]
    body = b"IDAT" + zlib.compress(out)
    new = struct.pack(">L", len(body) - 4) + body + struct.pack(">L", zlib.crc32(body))
    (tmp_path / "p.png").write_bytes(data[: at - 4] + new + data[at + 8 + length :])
    assert np.array_equal(read_photo(tmp_path / "p.png").pixels, pixels)


@pytest.mark.parametrize(("suffix", "mode"), [(".tif", "RGBA"), (".tif", "CMYK"), (".webp", "RGBA"), (".bmp", "RGB")])
def test_other_lossless_formats_come_back_bit_by_bit(tmp_path, suffix, mode):
    photo = Photo(noise(len(mode)), mode)
    write_photo(photo, tmp_path / f"p{suffix}")
    back = read_photo(tmp_path / f"p{suffix}")
    assert back.mode == mode
    assert np.array_equal(back.pixels, photo.pixels)


def test_16_bit_grey_png_with_a_clear_value_stays_16_bit(tmp_path):
    pixels = noise(1, np.uint16)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "p.png", transparency=7)
    with Image.open(tmp_path / "p.png") as opened:
        assert opened.has_transparency_data
    assert np.array_equal(read_photo(tmp_path / "p.png").pixels, pixels)


def test_16_bit_grey_tiff_stays_16_bit(tmp_path):
    photo = Photo(noise(1, np.uint16), "L")
    write_photo(photo, tmp_path / "p.tif")
    assert np.array_equal(read_photo(tmp_path / "p.tif").pixels, photo.pixels)


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    """Big-endian EXIF: orientation, a maker, and a second directory with a thumbnail."""
    entries = [struct.pack(">HHL4s", 0x010F, 2, 4, b"ABC\0"), struct.pack(">HHLHH", 0x0112, 3, 1, orientation, 0)]
    head = b"MM\0\x2a" + struct.pack(">L", 8) + struct.pack(">H", len(entries)) + b"".join(entries)
    second = len(head) + 4
    data = head + struct.pack(">L", second if thumbnail else 0)
    if thumbnail:
        begin = second + 2 + 24 + 4
        data += struct.pack(">H", 2) + struct.pack(">HHLL", 0x0201, 4, 1, begin)
        data += struct.pack(">HHLL", 0x0202, 4, 1, len(thumbnail)) + bytes(4) + thumbnail
    return b"Exif\0\0" + data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    image("RGB").save(tmp_path / f"p{suffix}", exif=exif(orientation), **options)
    photo = read_photo(tmp_path / f"p{suffix}")
    with Image.open(tmp_path / f"p{suffix}") as file:
        expected = np.array(ImageOps.exif_transpose(file))
    assert np.array_equal(photo.pixels, expected)
    write_photo(photo, tmp_path / f"q{suffix}")
    with Image.open(tmp_path / f"q{suffix}") as file:
        assert file.getexif()[0x0112] == 1
        assert file.getexif()[0x010F] == "ABC"
        assert file.size == expected.shape[1::-1]


def test_exif_loses_its_thumbnail_and_nothing_else():
    before = exif(6, b"JPEG of what was removed")
    after, orientation = clean_exif(before)
    assert orientation == 6
    assert b"removed" not in after
    assert len(after) == len(before)
    assert clean_exif(after) == (after, 1)
    assert clean_exif(exif(1)) == (exif(1), 1)
    assert clean_exif(b"") == (b"", None)
    assert clean_exif(b"Exif\0\0nonsense")[0] == b""
    for cut in range(len(before)):
        clean_exif(before[:cut])  # raises nothing


def jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    image("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_exif_loses_previews_in_cameras_notes_and_thumbnails_in_strips():
    """A preview that holds a thumbnail of its own; and two strips of raw pixels, whose offsets stand elsewhere."""
    note = b"NOTE" + jpeg(exif=exif(1, jpeg()), progressive=True) + b"behind"
    head = b"MM\0\x2a" + struct.pack(">LH", 8, 1) + struct.pack(">HHLL", 0x927C, 7, len(note), 200)
    second = struct.pack(">H", 2) + struct.pack(">HHLL", 0x0111, 4, 2, 100) + struct.pack(">HHLHH", 0x0117, 3, 2, 6, 7)
    before = (head + struct.pack(">L", 26) + second + bytes(4)).ljust(100) + struct.pack(">LL", 120, 130)
    before = (before.ljust(120) + b"strip1".ljust(10) + b"strip 2".ljust(10)).ljust(200) + note
    after, _ = clean_exif(before)
    assert len(after) == len(b"Exif\0\0" + before)
    assert b"strip" not in after
    assert b"\xff\xd8" not in after
    assert b"NOTE" + bytes(len(note) - 10) + b"behind" in after
    for cut in range(0, len(before), 7):
        clean_exif(before[:cut])  # raises nothing


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """A packet as programs write it, with a title and what is given."""
    spaces = "".join(
        f' xmlns:{name}="http://ns.{uri}"'
        for name, uri in {
            "tiff": "adobe.com/tiff/1.0/",
            "xmp": "adobe.com/xap/1.0/",
            "xmpGImg": "adobe.com/xap/1.0/g/img/",
            "exif": "adobe.com/exif/1.0/",
            "xmpNote": "adobe.com/xmp/note/",
            "GImage": "google.com/photos/1.0/image/",
            "GPano": "google.com/photos/1.0/panorama/",
        }.items()
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f'{spaces} xmp:Label="a \u00fcber &amp; out" GPano:UsePanoramaViewer="True" {attributes}>'
        f"<!-- kept -->{elements}</rdf:Description></rdf:RDF></x:xmpmeta>\n   \n<?xpacket end='w'?>"
    ).encode()


PICTURE = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(range(200))).decode()
THUMBNAILS = (
    '<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:width>9</xmpGImg:width>'
    f"<xmpGImg:image>{PICTURE}</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
)


def test_xmp_without_anything_stale_keeps_every_byte():
    assert clean_xmp(xmp()) == (xmp(), None, [])
    assert clean_xmp(xmp('tiff:Orientation="1"')) == (xmp('tiff:Orientation="1"'), 1, [])


@pytest.mark.parametrize(
    ("attributes", "elements"),
    [
        ("", THUMBNAILS),
        ("", f"<exif:Thumbnail><rdf:Bag><rdf:li>\n{PICTURE}</rdf:li></rdf:Bag></exif:Thumbnail>"),
        ("", f"<exif:anything>\n {PICTURE}</exif:anything>"),
        (f'GImage:Mime="image/jpeg" GImage:Data="{PICTURE}"', ""),
        (f'xmp:Other="{PICTURE}"', f"<exif:other><![CDATA[{PICTURE}]]></exif:other>"),
        ('xmpNote:HasExtendedXMP="00112233445566778899AABBCCDDEEFF"', ""),
    ],
)
@pytest.mark.parametrize("orientation", ['tiff:Orientation="6"', "<tiff:Orientation> 6 </tiff:Orientation>"])
def test_xmp_loses_pictures_and_its_orientation_and_nothing_else(attributes, elements, orientation):
    inside = orientation.startswith("<")
    packet = xmp(f"{attributes} " + ("" if inside else orientation), elements + (orientation if inside else ""))
    cleaned, told, _ = clean_xmp(packet)
    text = cleaned.decode()
    assert told == 6
    assert PICTURE[:20] not in text
    assert all(word not in text for word in ("Thumbnail", "HasExtended", "GImage:Mime"))
    assert re.findall(r"(?<!/)tiff:Orientation[>=]\"?(.)", text) == ["1"]
    assert 'xmp:Label="a \u00fcber &amp; out" GPano:UsePanoramaViewer="True"' in text
    assert "<!-- kept -->" in text
    assert text.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert text.endswith("<?xpacket end='w'?>")
    assert clean_xmp(cleaned) == (cleaned, 1, [])


@pytest.mark.parametrize(
    "packet",
    [
        b"no XML",
        b"",
        xmp(elements=THUMBNAILS)[:-100],
        xmp(elements="<unknown:Thumbnails/>"),
        b'<!DOCTYPE x [<!ENTITY e "x">]><x>&e;</x>',
        b"<x>" * 20000 + b"</x>" * 20000,
    ],
)
def test_xmp_that_makes_no_sense_is_left_out(packet):
    assert clean_xmp(packet) == (b"", None, [])


@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
def test_no_format_hands_on_stale_xmp(tmp_path, source, target):
    """Without EXIF that says how it lies, XMP turns the photo; then both say that it is upright."""
    packet = xmp('tiff:Orientation="6"', THUMBNAILS)
    if source == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
        image("RGB").save(tmp_path / "p.png", pnginfo=text)
    else:
        tags = Image.Exif()
        tags[700] = packet
        more = {"exif": tags} if source == ".tif" else {"xmp": packet, "lossless": True}
        image("RGB").save(tmp_path / f"p{source}", **more)
    with Image.open(tmp_path / f"p{source}") as file:
        expected = np.array(ImageOps.exif_transpose(file))
    photo = read_photo(tmp_path / f"p{source}")
    assert np.array_equal(photo.pixels, expected)
    write_photo(photo, tmp_path / f"q{target}")
    with Image.open(tmp_path / f"q{target}") as file:
        file.load()
        written = file.info["xmp"]
        assert np.array(ImageOps.exif_transpose(file)).shape == expected.shape
    assert b"Thumbnails" not in written
    assert b'tiff:Orientation="6"' not in written
    assert b"GPano" in written
    assert PICTURE[:20].encode() not in (tmp_path / f"q{target}").read_bytes()


STALE_XMP = Path(__file__).parents[3] / "shared" / "cases" / "stale-xmp"


@pytest.mark.parametrize("name", ["both_orient.jpg", "motion.jpg"])
@pytest.mark.skipif(not STALE_XMP.is_dir(), reason="needs ../shared/cases/stale-xmp")
def test_a_phones_xmp_agrees_with_what_is_written(tmp_path, name):
    write_photo(read_photo(STALE_XMP / name), tmp_path / "q.jpg")
    with Image.open(tmp_path / "q.jpg") as file:
        assert b'tiff:Orientation="6"' not in file.info["xmp"]
        assert all(word not in file.info["xmp"] for word in (b"MotionPhoto=", b"GainMap", b"Item:Length", b"hdrgm:V"))


@cache
def profile() -> bytes:
    """Made once, for it holds the time."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
def test_profile_and_exif_go_from_any_format_to_any(tmp_path, source, target):
    image("RGB").save(tmp_path / f"p{source}", icc_profile=profile(), exif=exif(1))
    write_photo(read_photo(tmp_path / f"p{source}"), tmp_path / f"q{target}")
    with Image.open(tmp_path / f"q{target}") as file:
        assert file.info["icc_profile"] == profile()
        assert file.getexif()[0x010F] == "ABC"


def test_a_tiff_with_another_layout_keeps_what_describes_it(tmp_path):
    tags = Image.Exif()
    tags[0x010F], tags[315] = "ABC", "someone"
    image("RGB").save(tmp_path / "p.tif", exif=tags, compression="tiff_lzw", dpi=(300, 300))
    write_photo(read_photo(tmp_path / "p.tif"), tmp_path / "q.tif")
    with Image.open(tmp_path / "q.tif") as file:
        assert np.array_equal(np.array(file), noise(3))
        assert (file.getexif()[0x010F], file.getexif()[315]) == ("ABC", "someone")
        assert file.info["dpi"] == (300, 300)


def test_a_tiff_with_a_palette_keeps_its_own_tags(tmp_path):
    tags = Image.Exif()
    tags[0x010F] = "maker"
    image("RGB").convert("P").save(tmp_path / "p.tif", exif=tags)
    write_photo(read_photo(tmp_path / "p.tif"), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as opened:
        assert opened.getexif()[0x010F] == "maker"


def test_png_keeps_its_text_and_gamma_but_none_that_is_stale_or_a_picture(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a walk")
    text.add_text("Raw profile type exif", "old")
    text.add_text("Raw profile type xmp", f"\nxmp\n  9\n{xmp(elements=THUMBNAILS).hex()}\n", zip=True)
    for kind, profile in (("app3", b"a \xff\xd8\xff\xe0 preview"), ("app5", b"a note")):
        text.add_text(f"Raw profile type {kind}", f"\n{kind}\n  9\n{profile.hex()}\n", zip=True)
    text.add_text("preview", PICTURE)
    text.add_text("Thumbnail", "some other format", zip=True)
    text.add_itxt("Overview", PICTURE, zip=True)
    text.add(b"gAMA", struct.pack(">L", 45455))
    image("RGB").save(tmp_path / "p.png", pnginfo=text, dpi=(300, 300))
    write_photo(read_photo(tmp_path / "p.png"), tmp_path / "q.png")
    with Image.open(tmp_path / "q.png") as file:
        file.load()
        assert file.text.keys() == {"Title", "Raw profile type app5", "XML:com.adobe.xmp"}
        assert file.text["Title"] == "a walk"
        assert b"xmp:Label" in file.info["xmp"]
        assert b"Thumbnails" not in file.info["xmp"]
        assert file.info["gamma"] == pytest.approx(0.45455)
        assert file.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize(("quality", "sampling"), [(60, 2), (97, 0)])
def test_jpeg_keeps_its_quality_and_sampling(tmp_path, quality, sampling):
    image("RGB").save(tmp_path / "p.jpg", quality=quality, subsampling=sampling)
    write_photo(read_photo(tmp_path / "p.jpg"), tmp_path / "q.jpg")
    with Image.open(tmp_path / "p.jpg") as before, Image.open(tmp_path / "q.jpg") as after:
        assert after.format == "JPEG"
        assert after.quantization == before.quantization
        assert after.layer == before.layer
    write_photo(Photo(noise(3), "RGB"), tmp_path / "r.jpg")
    image("RGB").save(tmp_path / "s.jpg", quality=95)
    with Image.open(tmp_path / "r.jpg") as ours, Image.open(tmp_path / "s.jpg") as theirs:
        assert ours.quantization == theirs.quantization


def test_a_progressive_jpeg_that_pillow_could_not_write_so_is_written(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(ImageFile, "MAXBLOCK", 10**7)
        Image.fromarray(noise(3, size=(400, 400))).save(tmp_path / "p.jpg", quality=97, subsampling=0, progressive=True)
    write_photo(read_photo(tmp_path / "p.jpg"), tmp_path / "q.jpg")
    with Image.open(tmp_path / "p.jpg") as before, Image.open(tmp_path / "q.jpg") as after:
        assert after.quantization == before.quantization


def test_what_a_jpeg_has_no_room_for_is_left_out(tmp_path):
    beside = {"xmp": xmp(elements="x" * 65504), "comment": b"kept"}
    write_photo(Photo(noise(3), "RGB", exif=b"Exif\0\0" + bytes(65534), info=beside), tmp_path / "p.jpg")
    assert "xmp" not in (read := read_photo(tmp_path / "p.jpg")).info
    assert read.info["comment"] == b"kept"


def test_palettes_bits_and_clear_colours_are_resolved(tmp_path):
    palette = image("RGB").quantize(16)
    palette.save(tmp_path / "p.png")
    photo = read_photo(tmp_path / "p.png")
    assert photo.mode == "RGB"
    assert np.array_equal(photo.pixels, np.array(palette.convert("RGB")))
    palette.save(tmp_path / "clear.png", transparency=3)
    clear = read_photo(tmp_path / "clear.png")
    assert clear.mode == "RGBA"
    assert np.array_equal(clear.pixels[..., 3] == 0, np.array(palette) == 3)
    write_photo(clear, tmp_path / "q.png")
    assert np.array_equal(read_photo(tmp_path / "q.png").pixels, clear.pixels)
    image("L").convert("1").save(tmp_path / "bits.png")
    assert read_photo(tmp_path / "bits.png").mode == "L"


def test_lab_becomes_rgb_without_its_profile(tmp_path):
    lab = image("RGB").convert("LAB")
    lab.save(tmp_path / "p.tif", icc_profile=b"a profile of LAB")
    photo = read_photo(tmp_path / "p.tif")
    assert photo.mode == "RGB"
    assert "icc_profile" not in photo.info


def test_a_picture_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    image("RGB").save(tmp_path / "p.png")

    def load(self):
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(UserError, match=r"p\.png does not fit into memory"):
        read_photo(tmp_path / "p.png")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_go_to_rgb_and_back(mode, dtype):
    pixels = noise(len(mode), dtype)
    if mode == "CMYK":
        pixels[..., 3] = 0
    colours = len(mode.removesuffix("A"))
    picture = rgb_from_pixels(pixels, mode)
    assert picture.shape == (3, *SIZE)
    old = pixels[..., :colours]
    assert np.array_equal(blend(old, colours_from_rgb(picture, mode), np.full(SIZE, 255, np.uint8)), old)


def test_cmyk_is_seen_as_pillow_sees_it():
    pixels = noise(4)
    seen = np.array(Image.frombytes("CMYK", SIZE[::-1], pixels.tobytes()).convert("RGB"))
    ours = rgb_from_pixels(pixels, "CMYK").permute(1, 2, 0).numpy() * 255
    assert abs(ours - seen).max() <= 2


def test_a_weight_of_zero_keeps_every_bit_and_half_is_half():
    old = noise(3)
    weights = np.zeros(SIZE, dtype=np.uint8)
    weights[0, 0], weights[0, 1] = 255, 51
    mixed = blend(old, np.ones((*SIZE, 3), dtype=np.float32), weights)
    assert (mixed[0, 0] == 255).all()
    assert np.array_equal(mixed[0, 1], (0.2 * 255 + 0.8 * old[0, 1]).round())
    mixed[0, :2] = old[0, :2]
    assert np.array_equal(mixed, old)


def test_files_that_are_no_photos(tmp_path, monkeypatch):
    def refused(name: str, match: str, max_pixels: int = 10**6) -> None:
        with pytest.raises(UserError, match=match):
            read_photo(tmp_path / name, max_pixels)

    refused("missing.png", "does not exist")
    refused(".", "is a folder")
    (tmp_path / "text.png").write_text("hello")
    refused("text.png", "not a picture")
    Image.fromarray(noise(3, size=(64, 64))).save(tmp_path / "cut.jpg")
    for name, suffix in (("cut.jpg", "jpg"), ("deep.png", "png")):
        if suffix == "png":
            write_photo(Photo(noise(3, np.uint16, (64, 64)), "RGB"), tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        refused(name, f"{name} cannot be read")
    Image.new("RGB", (2000, 1000)).save(tmp_path / "bomb.png")
    refused("bomb.png", "2000 x 1000 pixels, more than the 1000000.*--max-pixels")
    refused("bomb.png", "--max-pixels", 999_999)
    before = Image.MAX_IMAGE_PIXELS
    with opened(tmp_path / "bomb.png", 2_000_000):
        assert before == Image.MAX_IMAGE_PIXELS  # which is everybody's
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_photo(tmp_path / "bomb.png", 2_000_000).size == (1000, 2000)
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.undo()
    image("RGB").save(tmp_path / "two.gif", save_all=True, append_images=[image("RGB").rotate(90)])
    for suffix in ("gif", "webp", "png", "avif"):
        image("RGB").save(tmp_path / f"two.{suffix}", save_all=True, append_images=[image("RGB").rotate(90)])
        refused(
            f"two.{suffix}", rf"two\.{suffix} is an animation of 2 pictures: save the one to fill as a file of its own"
        )
    image("RGB").save(tmp_path / "two.tif", save_all=True, append_images=[image("RGB").rotate(90)])
    refused("two.tif", r"two\.tif holds 2 pages: save the one to fill")
    Image.fromarray(noise(1)[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    refused("float.tif", r"holds floating-point numbers \(32 bits a pixel\): save it with 8 or 16 bits a channel")
    Image.fromarray(noise(1)[..., 0].astype(np.int32)).save(tmp_path / "whole.tif")
    refused("whole.tif", "holds whole numbers of 32 bits or signed: save it with 8 or 16")
    (tmp_path / "kind.tif").write_bytes(b"II\x2a\0" + bytes(9))
    refused("kind.tif", r"kind\.tif is a TIFF that is damaged, or whose kind of pixels cannot be read")


def test_targets(tmp_path):
    assert target_for(tmp_path / "a.JPG") == tmp_path / "a_filled.JPG"
    assert target_for(tmp_path / "a.gif") == tmp_path / "a_filled.png"
    check_target(tmp_path / "new" / "folder" / "a.png", overwrite=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.png").write_text("before")
    with pytest.raises(UserError, match=r"a\.png exists already.*--overwrite"):
        check_target(tmp_path / "a.png", overwrite=False)
    check_target(tmp_path / "a.png", overwrite=True)
    with pytest.raises(UserError, match=r"a\.xyz has an extension that cannot be written"):
        check_target(tmp_path / "a.xyz", overwrite=False)
    with pytest.raises(UserError, match=r"new has no extension, and is no folder"):
        check_target(tmp_path / "new", overwrite=False)
    with pytest.raises(UserError, match=r"a\.png is a file"):
        check_target(tmp_path / "a.png" / "b.png", overwrite=False)
    (tmp_path / "c.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        check_target(tmp_path / "c.png", overwrite=True)
    with pytest.raises(UserError, match="has transparency"):
        check_keeps(Photo(noise(4), "RGBA"), tmp_path / "a.jpg")
    with pytest.raises(UserError, match="is CMYK"):
        check_keeps(Photo(noise(4), "CMYK"), tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    """A limit on the size of files stands in for a disk that is full."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    target = tmp_path / f"a{suffix}"
    target.write_text("before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match="could not be written"):
            write_photo(Photo(noise(3, size=(200, 200)), "RGB"), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_an_image_carries_what_the_photo_carried(tmp_path):
    image("RGB").save(tmp_path / "p.jpg", icc_profile=profile(), exif=exif(1))
    result = read_photo(tmp_path / "p.jpg").to_image()
    buffer = io.BytesIO()
    result.save(buffer, "JPEG", exif=result.info["exif"], icc_profile=result.info["icc_profile"])
    assert result.mode == "RGB"
    deep = Photo(noise(4, np.uint16), "RGBA").to_image()
    assert deep.mode == "RGBA"
    assert Photo(noise(1, np.uint16), "L").to_image().mode == "I;16"
