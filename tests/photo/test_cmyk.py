import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from inpaint import Inpainter
from inpaint.photo.cmyk import black_share, inks_from_rgb, rgb_from_inks
from inpaint.photo.files import read_photo, write_photo
from inpaint.photo.photo import Photo

POINTS = 9  # of the profile's tables, along each side


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB in [0, 1] (sRGB's primaries, D50)."""
    xyz = rgb @ np.array([[0.436, 0.222, 0.014], [0.385, 0.717, 0.097], [0.143, 0.061, 0.714]])
    f = np.cbrt(xyz / [0.964, 1.0, 0.825])
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def rgb_of_lab(values: np.ndarray) -> np.ndarray:
    y = (values[..., 0] + 16) / 116
    f = np.stack([y + values[..., 1] / 500, y, y - values[..., 2] / 200], -1)
    xyz = f**3 * [0.964, 1.0, 0.825]
    matrix = np.array([[0.436, 0.222, 0.014], [0.385, 0.717, 0.097], [0.143, 0.061, 0.714]])
    return (xyz @ np.linalg.inv(matrix)).clip(0, 1)


def grid(channels: int) -> np.ndarray:
    axis = np.linspace(0, 1, POINTS)
    return np.stack(np.meshgrid(*[axis] * channels, indexing="ij"), -1).reshape(-1, channels)


def table(inputs: int, outputs: int, values: np.ndarray) -> bytes:
    """A profile's `lut8Type`: values in [0, 1] at the points of a grid."""
    head = b"mft1" + bytes(4) + bytes([inputs, outputs, POINTS, 0])
    head += struct.pack(">9i", *(np.eye(3).flatten() * 65536).astype(int))
    line = bytes(range(256))
    return head + line * inputs + (values * 255).round().clip(0, 255).astype(np.uint8).tobytes() + line * outputs


@pytest.fixture(scope="module")
def profile() -> bytes:
    """A CMYK profile of a press whose inks are dull, and which prints four fifths of the grey in black."""
    inks = grid(4)
    linear = ((1 - 0.9 * inks[:, 3:]) * (1 - 0.85 * inks[:, :3])) ** 2.2
    seen = lab(linear) / [100, 255, 255] + [0, 128 / 255, 128 / 255]
    wanted = rgb_of_lab((grid(3) - [0, 128 / 255, 128 / 255]) * [100, 255, 255]) ** (1 / 2.2)
    key = 0.8 * (1 - wanted.max(1, keepdims=True)) / 0.9
    other = (1 - wanted / (1 - 0.9 * key)) / 0.85
    tags = {
        b"A2B0": table(4, 3, seen),
        b"B2A0": table(3, 4, np.concatenate([other, key], 1)),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"desc": b"desc" + bytes(4) + struct.pack(">L", 5) + b"test\0" + bytes(78),
    }
    body, entries = b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sLL", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 132 + 12 * len(tags) + len(body)
    head = struct.pack(">L4sL4s4s4s", size, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">L", len(tags)) + entries + body


def gravel(size: tuple[int, int] = (120, 140)) -> np.ndarray:
    """Dark, nearly grey noise."""
    rng = np.random.default_rng(0)
    return (rng.normal(0.25, 0.05, (*size, 1)) + rng.normal(0, 0.01, (*size, 3))).clip(0.05, 1).astype(np.float32)


def test_inks_look_as_the_profile_says_and_come_back(profile):
    rgb = gravel()
    inks = (inks_from_rgb(rgb, profile) * 255).round().astype(np.uint8)
    assert abs(rgb_from_inks(inks, profile) - rgb).mean() < 0.03
    image = Image.frombytes("CMYK", (140, 120), inks.tobytes())
    with_pillow = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert abs(rgb_from_inks(inks, profile) * 255 - np.asarray(with_pillow)).mean() < 8  # but for the black point
    assert inks[..., 3].mean() > 90  # the grey is printed in black


def test_without_a_profile_as_much_is_printed_in_black_as_elsewhere():
    rgb = gravel()
    for share in (0.0, 0.4, 1.0):
        inks = (inks_from_rgb(rgb, black=share) * 255).round().astype(np.uint8)
        assert abs(rgb_from_inks(inks) - rgb).max() < 0.02
        assert black_share(inks.reshape(-1, 4)) == pytest.approx(share, abs=0.02)
    assert black_share(np.zeros((5, 4), dtype=np.uint8)) == 0
    assert np.array_equal(rgb_from_inks(inks, b"no profile"), rgb_from_inks(inks))


@pytest.mark.parametrize("has_profile", [True, False])
def test_the_fill_of_a_cmyk_photo_is_as_dark_as_its_surroundings(tmp_path, profile, has_profile):
    own = profile if has_profile else b""
    inks = (inks_from_rgb(gravel(), own, 0.7) * 255).round().astype(np.uint8)
    options = {"icc_profile": own} if own else {}
    Image.frombytes("CMYK", (140, 120), inks.tobytes()).save(tmp_path / "p.tif", **options)
    marked = np.zeros((120, 140), dtype=bool)
    marked[50:74, 60:84] = True
    photo = read_photo(tmp_path / "p.tif")
    filled, _, _ = Inpainter(preset="instant", device="cpu").fill_photo(photo, marked)
    write_photo(filled, tmp_path / "out.tif")
    back = read_photo(tmp_path / "out.tif")
    assert back.info.get("icc_profile", b"") == own
    seen = rgb_from_inks(back.pixels, own)
    assert abs(seen[marked].mean() - seen[~marked].mean()) < 0.03
    assert abs(back.pixels[marked][:, 3].mean() - inks[~marked][:, 3].mean()) < 12


def test_black_is_as_in_the_surroundings_not_as_in_the_photo():
    """One half printed in black alone, the other without: each hole gets what stands around it."""
    inks = np.zeros((128, 400, 4), dtype=np.uint8)
    noise = np.random.default_rng(0).integers(120, 160, (128, 400), dtype=np.uint8)
    inks[:, :200, 3] = noise[:, :200]
    inks[:, 200:, :3] = noise[:, 200:, None]
    marked = np.zeros((128, 400), dtype=bool)
    marked[56:72, 40:56] = marked[56:72, 340:356] = True
    filled, _, _ = Inpainter(preset="instant", device="cpu").fill_photo(Photo(inks, "CMYK"), marked)
    left, right = (filled.pixels[56:72, at : at + 16].mean((0, 1)) for at in (40, 340))
    assert left[3] > 100 > 20 > left[:3].mean()
    assert right[:3].mean() > 100 > 20 > right[3]
