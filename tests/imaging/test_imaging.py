from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import skimage
import torch
from PIL import Image

from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging import reading as images
from inpaint.imaging.pixels import composite, middle, resize, resize_masked
from inpaint.imaging.reading import read_picture, read_pixels, to_rgb, write_picture
from inpaint.imaging.smooth import diffuse, seamless

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
@pytest.mark.parametrize("parts", [1, 2])
def test_a_jpeg_is_decoded_down_to_the_last_row_that_is_needed(tmp_path, options, parts):
    noise = np.random.default_rng(0).integers(0, 255, (25, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 200)).save(tmp_path / "p.jpg", **options)
    whole = read_pixels(tmp_path / "p.jpg", enough=160 / parts)
    assert whole.shape == (3, 200 / parts, 160 / parts)
    for needed in (1, 40, 65, 100):
        found = read_pixels(tmp_path / "p.jpg", 160 / parts, lambda height, width, rows=needed: rows)
        assert found.shape == whole.shape
        assert torch.equal(found[:, :needed], whole[:, :needed])
    data = (tmp_path / "p.jpg").read_bytes()
    lowered = [simplejpeg.decode_jpeg_header(images._above(data, row))[0] for row in (1, 40, 65, 199)]
    assert lowered == ([200] * 4 if {"progressive", "restart_marker_rows"} & set(options) else [32, 64, 96, 200])
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg cannot be read"):
        read_pixels(tmp_path / "cut.jpg", 160 / parts, lambda height, width: 10)


def test_a_damaged_jpeg_is_no_better_for_being_read_in_part(tmp_path):
    """Of a damage above the last row that is needed a decoder that stops there says nearly as often as another."""
    data = (Path(skimage.__file__).parent / "data" / "rocket.jpg").read_bytes()  # 640 x 427
    rng, path, told, told_in_part = np.random.default_rng(0), tmp_path / "p.jpg", 0, 0
    for _ in range(40):
        damaged, at = bytearray(data), int(rng.integers(len(data) // 10, len(data) // 3))
        damaged[at : at + 512] = rng.bytes(512)
        path.write_bytes(damaged)
        told += images.read_jpeg(path) is None
        told_in_part += images.read_jpeg(path, 427, lambda height, width: 300) is None
    assert told_in_part > 0.8 * told > 24


def test_bytes_that_fill_up_a_jpeg(tmp_path):
    Image.fromarray(np.full((200, 160, 3), 128, np.uint8)).save(tmp_path / "p.jpg")
    data = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(data[:2] + b"\xff" + data[2:])
    assert (read_pixels(tmp_path / "p.jpg", 160, lambda height, width: 9)[:, :9] == 128).all()
    (tmp_path / "p.jpg").write_bytes(data + b"behind the end")
    assert (read_pixels(tmp_path / "p.jpg", 160, lambda height, width: 9)[:, :9] == 128).all()


def test_a_jpeg_may_be_turned_by_its_xmp(tmp_path):
    turned = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "p.jpg", xmp=turned)
    assert read_pixels(tmp_path / "p.jpg").shape == (3, 7, 5)


def test_files_that_are_no_pictures(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"missing\.png does not exist"):
        read_picture(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=r"text\.png cannot be read as a picture"):
        read_picture(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg cannot be read"):
        read_picture(tmp_path / "cut.jpg")
    colours().save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match=r"bomb\.png declares more pixels"):
        read_picture(tmp_path / "bomb.png")


def test_written_pictures_come_back(tmp_path):
    picture = torch.rand(3, 7, 9)
    write_picture(picture, tmp_path / "new" / "folder" / "p.png")
    torch.testing.assert_close(read_picture(tmp_path / "new/folder/p.png"), picture, atol=0.5 / 255 + 1e-6, rtol=0)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["p.png"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "kept.txt").write_text("before")

    def write_half():
        with atomic(tmp_path / "kept.txt") as beside:
            beside.write_text("half")
            raise OSError("disk full")

    with pytest.raises(UserError, match="could not be written: disk full"):
        write_half()
    assert (tmp_path / "kept.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [(16, 16), (11, 13), (32, 32)])
def test_no_hole_colour_bleeds_into_known_pixels(size):
    """The same known pixels whatever stands in the hole; a constant stays that constant up to the border."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 13:37, 22:51] = 1
    picture = torch.full((1, 3, 64, 64), 0.3)
    known, hole = resize_masked(torch.where(mask > 0, 9.0, picture), mask, size)
    assert known.shape == (1, 3, *size)
    torch.testing.assert_close(known, 0.3 * (1 - hole).expand_as(known), atol=1e-6, rtol=0)
    noise = torch.rand(1, 3, 64, 64)
    other = torch.where(mask > 0, torch.rand_like(noise), noise)
    assert torch.equal(resize_masked(noise, mask, size)[0], resize_masked(other, mask, size)[0])


def test_a_coarse_pixel_is_hole_if_any_pixel_under_it_is():
    mask = torch.zeros(1, 1, 512, 512)
    mask[..., 128:384, 128:384] = 1
    _, hole = resize_masked(mask.expand(1, 3, -1, -1), mask, (128, 128))
    assert torch.equal(hole, middle_square(128))
    mask.zero_()[..., 511, 0] = 1
    _, hole = resize_masked(mask.expand(1, 3, -1, -1), mask, (128, 128))
    assert hole.nonzero().tolist() == [[0, 0, 127, 0]]


def middle_square(side):
    mask = torch.zeros(1, 1, side, side)
    middle(mask).fill_(1)
    return mask


def test_resize_keeps_constants_and_composite_takes_sides():
    assert torch.allclose(resize(torch.full((1, 3, 9, 7), 0.4), (20, 5)), torch.tensor(0.4))
    mask = middle_square(8)[0]
    mixed = composite(torch.zeros(3, 8, 8), torch.ones(3, 8, 8), mask)
    assert torch.equal(mixed, mask.expand(3, 8, 8))
    assert middle(mixed).shape == (3, 4, 4)


def test_seamless_takes_away_the_step_and_only_that():
    """A hole that is too bright everywhere meets its surroundings at the border; its middle stays, the outside too."""
    mask = middle_square(64)
    picture = torch.full((1, 3, 64, 64), 0.4)
    filled = picture + 0.3 * mask
    done = seamless(picture, filled, mask)
    across = done[0, 0, 32, 15:32]  # from the last known pixel to the hole's middle
    assert (across.diff() >= 0).all()
    assert across.diff().max() < 0.1  # of a step of 0.3: nowhere a visible one
    assert across[-1] == pytest.approx(0.7, abs=2e-2)
    assert torch.equal(done * (1 - mask), picture * (1 - mask))
    torch.testing.assert_close(seamless(picture, picture, mask), picture)


def test_seamless_calms_the_outermost_pixels():
    """The steps from the outermost pixels to those behind, too, become smaller; further in nothing changes."""
    mask = middle_square(64)
    picture = torch.full((1, 3, 64, 64), 0.4)
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.1
    filled = picture + mask * checks
    done = seamless(picture, filled, mask)
    behind = (done - filled)[..., 17, 17:47] - (done - filled)[..., 16, 17:47]  # along the upper border
    assert (behind * (filled[..., 17, 17:47] - filled[..., 16, 17:47]) < 0).all()
    torch.testing.assert_close(
        done[..., 28:36, 28:36] - done[..., 29:30, 29:30],
        filled[..., 28:36, 28:36] - filled[..., 29:30, 29:30],
        atol=2e-3,
        rtol=0,
    )


def test_seamless_fills_a_scratch_with_its_neighbours():
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 4] = 1
    ramp = torch.linspace(0, 1, 9).expand(1, 3, 9, 9)
    torch.testing.assert_close(seamless(ramp, torch.zeros_like(ramp), mask), ramp, atol=0.02, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (45, 33), (1, 7)])
def test_a_diffused_hole_is_smooth(size):
    """A ramp is its own smooth filling; nothing inside is above or below all that is known."""
    ramp = torch.linspace(0.2, 0.8, size[1]).expand(1, 3, *size)
    mask = torch.zeros(1, 1, *size)
    mask[..., size[0] // 4 : 3 * size[0] // 4 + 1, 2 : size[1] // 2 + 1] = 1
    spoilt = torch.where(mask > 0, 9.0, ramp)  # never looked at
    assert (diffuse(spoilt, mask) - ramp).abs().max() < 0.06
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    filled, known = diffuse(noise, mask), mask.expand_as(noise) == 0
    assert torch.equal(filled[known], noise[known])
    assert filled.min() >= noise[known].min() - 1e-6
    assert filled.max() <= noise[known].max() + 1e-6


def test_nothing_known_diffuses_to_nothing():
    assert torch.equal(diffuse(torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)), torch.zeros(1, 3, 8, 8))
