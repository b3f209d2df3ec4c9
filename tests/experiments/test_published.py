"""Where a published crop lies in its picture, and what is measured there."""

import sys

import pytest
import torch
import torch.nn.functional as F

from experiments.examples import square_hole
from experiments.published import published
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import write_picture
from inpaint.vgg import load_vgg


@pytest.fixture(scope="module")
def picture():
    """Blots, whose place can be told to a part of a pixel."""
    drawn = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    return F.interpolate(drawn[None], (512, 512), mode="bicubic")[0].clamp(0, 1)


def test_a_crop_that_is_moved_and_narrower_is_found(picture):
    mask, place = square_hole(512, 224), (0.99, 1.005, 0.006, -0.004)
    crop = published.laid(picture, (208, 209), place)
    filled = torch.where(resize(mask, (208, 209)) > 0, torch.rand(3, 1, 1), crop)  # whatever stands in the hole
    assert published.find_place(filled, picture, mask) == pytest.approx(place, abs=5e-4)


def test_the_truth_is_measured_as_equal_to_itself(picture):
    mask = square_hole(208, 90)
    small = resize(picture, (208, 208)).clamp(0, 1)
    found = published.measured(small, small, mask, load_vgg())
    assert found["PSNR, dB"] == float("inf")
    assert (found["SSIM"], found["perceptual"]) == pytest.approx((1, 0), abs=1e-5)


def test_what_is_published_is_measured_beside_the_truth(picture, tmp_path, monkeypatch):
    """As ours is: how sharp a figure left the surroundings says nothing of the fill."""
    monkeypatch.setattr(published, "PRESETS", ())
    place = (1.0, 1.0, 0.0, 0.0)
    monkeypatch.setattr(published, "find_place", lambda *_: place)
    noise = torch.rand(3, 208, 208, generator=torch.Generator().manual_seed(1))
    mask, small = (published.laid(whole, (208, 208), place) for whole in (square_hole(512, 224), picture))
    write_picture(picture, tmp_path / "real_1.png")
    found = []
    for outside in (small, (small + 0.2 * (noise - 0.5)).clamp(0, 1)):
        write_picture(torch.where(mask > 0.5, noise, outside), tmp_path / "published_1.png")
        ((row),) = published.rows(tmp_path, torch.device("cpu"))
        found.append(row["published"])
    assert found[0] == found[1]
    assert found[0]["sharpness"] > 1


def test_a_folder_without_pictures_is_bad_usage(tmp_path, monkeypatch, capsys):
    write_picture(torch.rand(3, 8, 8), tmp_path / "other.png")
    monkeypatch.setattr(sys, "argv", ["published", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        published.main()
    assert stop.value.code == 2
    assert "holds no real_*.png" in capsys.readouterr().err
