import struct
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import (
    _read_jpeg,
    grey_16,
    holds_16_bit_grey,
    opened,
    read_picture,
    read_pixels,
    to_rgb,
    upright_image,
    write_picture,
)
from inpaint.photo.files import read_photo

WIDTH, HEIGHT = 6, 4


def colours() -> Image.Image:
    """Red left, blue right."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (200, 0, 0))
    image.paste((0, 0, 200), (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rgb.png", lambda: colours()),
        ("palette.png", lambda: colours().quantize(4)),
        ("palette.gif", lambda: colours().quantize(4)),
        ("alpha.png", lambda: colours().convert("RGBA")),
        ("cmyk.tif", lambda: colours().convert("CMYK")),
        ("colour.bmp", lambda: colours()),
    ],
)
def test_any_mode_loads_as_rgb(tmp_path, name, make):
    make().save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.shape == (3, HEIGHT, WIDTH)
    assert picture.dtype == torch.float32
    expected = torch.tensor(np.array(colours())).permute(2, 0, 1) / 255
    torch.testing.assert_close(picture, expected, atol=1 / 255, rtol=0)


def test_grey_16_bit_and_transparency(tmp_path):
    Image.new("L", (5, 5), 51).save(tmp_path / "grey.png")
    assert torch.allclose(read_picture(tmp_path / "grey.png"), torch.tensor(0.2))
    Image.fromarray(np.full((5, 5), 65535 * 2 // 5, dtype=np.uint16)).save(tmp_path / "deep.png")
    torch.testing.assert_close(read_picture(tmp_path / "deep.png"), torch.full((3, 5, 5), 0.4), atol=2e-3, rtol=0)
    Image.new("RGBA", (5, 5), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert torch.equal(read_picture(tmp_path / "clear.png"), torch.ones(3, 5, 5))
    Image.new("LA", (5, 5), (0, 255)).save(tmp_path / "opaque.png")
    assert torch.equal(read_picture(tmp_path / "opaque.png"), torch.zeros(3, 5, 5))


def tiff(photometric: int, bits: int, content: bytes, kind: int = 1, orientation: int = 1, alpha: int = 0) -> bytes:
    """A little-endian TIFF of one row of grey pixels, four of them without alpha, two with it."""
    channels = 2 if alpha else 1
    tags = {256: 4 // channels, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 274: orientation, 277: channels}
    tags |= {278: 1, 279: len(content), 339: kind} | ({338: alpha} if alpha else {})
    entries = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    content += bytes(len(content) % 2)
    return (
        b"II\x2a\0" + struct.pack("<L", 8 + len(content)) + content + struct.pack("<H", len(tags)) + entries + bytes(4)
    )


@pytest.mark.parametrize("orientation", [1, 3])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize(
    ("bits", "content", "shown"),
    [
        (1, b"\x50", [0, 255, 0, 255]),
        (4, b"\x0f\x3c", [0, 255, 51, 204]),
        (8, bytes([0, 255, 51, 204]), [0, 255, 51, 204]),
        (16, struct.pack("<4H", 0, 65535, 1000, 40000), [0, 65535, 1000, 40000]),
    ],
)
def test_grey_is_what_a_viewer_shows(tmp_path, orientation, photometric, bits, content, shown):
    """Whether 0 is black or white, for a photo, a mask and data."""
    (tmp_path / "p.tif").write_bytes(tiff(photometric, bits, content, orientation=orientation))
    top = 65535 if bits > 8 else 255
    expected = np.array(shown) if photometric == 1 else top - np.array(shown)
    expected = expected[::-1] if orientation == 3 else expected
    assert read_photo(tmp_path / "p.tif").pixels.ravel().tolist() == expected.tolist()
    assert read_pixels(tmp_path / "p.tif")[0].ravel().tolist() == (expected * (255 / top)).round().tolist()
    with Image.open(tmp_path / "p.tif") as image:
        assert holds_16_bit_grey(image) == (bits > 8)
        if bits > 8:
            assert grey_16(image).ravel().tolist() == expected.tolist()  # for Pillow itself turns a TIFF
            assert np.asarray(upright_image(image)).ravel().tolist() == expected.tolist()


def test_grey_of_other_kinds(tmp_path):
    path = tmp_path / "p.tif"
    path.write_bytes(tiff(0, 32, struct.pack("<4f", 0, 0.25, 1, 0.5), kind=3))
    with Image.open(path) as image:
        assert np.asarray(upright_image(image)).ravel().tolist() == [1, 0.75, 0, 0.5]
    path.write_bytes(tiff(1, 8, bytes([100, 200, 0, 0]), alpha=1))  # multiplied by its transparency
    assert read_photo(path).pixels.ravel().tolist() == [127, 200, 0, 0]
    assert read_pixels(path)[0].ravel().tolist() == [155, 255]
    path.write_bytes(tiff(1, 12, bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x01])))  # up to white, as 16 bits reach
    assert read_photo(path).pixels.ravel().tolist() == [0, 65535, 32776, 16]
    assert read_pixels(path)[0].ravel().tolist() == [0, 255, 128, 0]
    (tmp_path / "p.pgm").write_bytes(b"P5 4 1 65535\n" + struct.pack(">4H", 0, 65535, 1000, 40000))
    assert read_photo(tmp_path / "p.pgm").pixels.ravel().tolist() == [0, 65535, 1000, 40000]
    for refused in (tiff(0, 64, bytes(32), kind=3), b"MM\0\x2a" + bytes(8)):
        path.write_bytes(refused)
        with pytest.raises(UserError, match=r"p\.tif is a TIFF .*whose kind of pixels cannot be read: save it with 8"):
            read_pixels(path)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise: left becomes top
    colours().save(tmp_path / "turned.png", exif=exif)
    picture = read_picture(tmp_path / "turned.png")
    assert picture.shape == (3, WIDTH, HEIGHT)
    assert picture[0, 0].min() > 0.7  # red on top
    assert picture[2, -1].min() > 0.7  # blue at the bottom


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_a_jpeg_is_what_pillow_makes_of_it(tmp_path, mode, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    noise = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((70, 51), Image.Resampling.BICUBIC).convert(mode)
    for options in ({"quality": 75}, {"quality": 95, "subsampling": 0, "progressive": True}):
        image.save(tmp_path / "p.jpg", exif=exif, **options)
        with Image.open(tmp_path / "p.jpg") as file:
            expected = torch.tensor(np.array(to_rgb(file))).permute(2, 0, 1)
        assert torch.equal(read_pixels(tmp_path / "p.jpg"), expected)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize(("parts", "shape"), [(1, (201, 163)), (2, (101, 82)), (4, (51, 41)), (8, (26, 21))])
def test_a_jpeg_is_decoded_no_larger_than_is_enough(tmp_path, options, parts, shape):
    noise = np.random.default_rng(0).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((163, 201)).save(tmp_path / "p.jpg", **options)
    found = read_pixels(tmp_path / "p.jpg", 163 / parts)
    assert found.shape == (3, *shape)
    whole = read_picture(tmp_path / "p.jpg")
    assert (resize(whole[None], shape)[0] - found / 255).abs().mean() < 0.06
    data = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg cannot be read"):
        read_pixels(tmp_path / "cut.jpg", 163 / parts)


def test_a_damaged_jpeg_is_refused_as_often_where_speed_counts(tmp_path):
    """Decoded at full size by the exact arithmetic, by the faster one, and at half the size."""
    data = (Path(skimage.__file__).parent / "data" / "rocket.jpg").read_bytes()  # 640 x 427
    rng, path, refused = np.random.default_rng(0), tmp_path / "p.jpg", []
    for _ in range(40):
        damaged, at = bytearray(data), int(rng.integers(len(data) // 10, len(data)))
        damaged[at : at + 512] = rng.bytes(512)
        path.write_bytes(damaged)
        refused.append([_read_jpeg(path, enough) is None for enough in (None, 427, 200)])
    assert sum(whole for whole, *_ in refused) > 24
    assert all(whole == fast == half for whole, fast, half in refused)


@pytest.mark.parametrize("fill", ["in front", "behind"])
def test_bytes_that_fill_up_a_jpeg(tmp_path, fill):
    Image.fromarray(np.full((200, 160, 3), 128, np.uint8)).save(tmp_path / "p.jpg")
    data = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(data[:2] + b"\xff" + data[2:] if fill == "in front" else data + b"behind the end")
    assert (read_pixels(tmp_path / "p.jpg", 160) == 128).all()


def test_a_jpeg_may_be_turned_by_its_xmp(tmp_path):
    turned = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "p.jpg", xmp=turned)
    assert read_pixels(tmp_path / "p.jpg").shape == (3, 7, 5)


def test_files_that_are_no_pictures(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"missing\.png does not exist"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(UserError, match="is a folder, and a picture is expected there"):
        read_picture(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=r"text\.png is not a picture in a format"):
        read_picture(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg cannot be read"):
        read_picture(tmp_path / "cut.jpg")
    colours().save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match=r"bomb\.png declares 6 x 4 pixels, more than the 10 .*: make it smaller\.$"):
        read_picture(tmp_path / "bomb.png")
    with opened(tmp_path / "bomb.png", max_pixels=24) as image:
        assert Image.MAX_IMAGE_PIXELS == 10
        assert image.load()[0, 0] == (200, 0, 0)


def test_written_pictures_come_back(tmp_path):
    picture = torch.rand(3, 7, 9)
    write_picture(picture, tmp_path / "new" / "folder" / "p.png")
    torch.testing.assert_close(read_picture(tmp_path / "new/folder/p.png"), picture, atol=0.5 / 255 + 1e-6, rtol=0)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["p.png"]


def test_postscript_is_not_run(tmp_path):
    """Reading it would be running it; whatever its name says that it is."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{ 1 pop } loop\n%%EOF\n")
    with pytest.raises(UserError, match=r"photo\.jpg is not a picture in a format that can be read"), opened(path):
        pass
