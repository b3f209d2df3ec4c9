from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import _read_jpeg, opened, read_picture, read_pixels, to_rgb, write_picture

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
