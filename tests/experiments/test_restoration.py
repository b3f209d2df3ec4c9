import json

import numpy as np
import pytest
from PIL import Image

from experiments.restoration import restoration


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth photograph, 200 x 300, in none of whose places the damage's colours stand."""
    y, x = np.mgrid[:200, :300]
    return np.stack([80 + y // 4, 100 + x // 6, 120 + (x + y) // 10], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("damage", "least", "most"),
    [("scratches", 0.01, 0.2), ("blotches", 0.12, 0.13), ("watermark", 0.03, 0.2), ("dust", 0.05, 0.3)],
)
def test_damage_is_what_is_marked_and_the_same_in_every_run(photo, damage, least, most):
    damaged, marked = restoration.DAMAGES[damage](photo, np.random.default_rng(3))
    again, _ = restoration.DAMAGES[damage](photo, np.random.default_rng(3))
    assert np.array_equal(damaged, again)
    assert np.array_equal(damaged[~marked], photo[~marked])
    changed = (damaged != photo).any(-1)
    assert changed[marked].mean() > 0.95  # but for the palest edge of writing
    assert least < marked.mean() < most


def test_a_run_measures_against_the_truth_and_goes_on_where_it_stopped(tmp_path, monkeypatch, photo):
    photos, out, page = tmp_path / "photos", tmp_path / "out", tmp_path / "page"
    for folder in (photos, page):
        folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(photo).save(photos / f"{name}.jpg", quality=100)
    monkeypatch.setattr(restoration, "PHOTOS", ("a", "b"))
    monkeypatch.setattr(restoration, "CROP", 100)
    monkeypatch.setattr(restoration, "METHODS", {"damaged": "as damaged", "grey": "Grey", "gone": "Gone"})
    monkeypatch.setattr(restoration, "version", {"grey": "1"}.get)
    calls = []

    def fill(self, name, damaged, marked):
        calls.append(name)
        return damaged if name == "damaged" else np.where(marked[..., None], np.uint8(128), damaged)

    monkeypatch.setattr(restoration.Fillers, "__call__", fill)
    assert restoration.compare(photos, out, list(restoration.DAMAGES), page) == 0
    assert calls == ["damaged", "grey"] * 8
    text = (page / "results.md").read_text()
    assert (page / "dust.jpg").is_file()
    assert "Gone" not in text
    measured = json.loads((out / "blotches" / "a" / "grey.json").read_text())
    worse = json.loads((out / "blotches" / "a" / "damaged.json").read_text())
    assert measured["psnr"] > worse["psnr"]
    assert f"| blotches | a | {worse['psnr']:.1f} dB" in text
    assert restoration.compare(photos, out, ["dust"], page) == 0
    assert len(calls) == 16
    assert restoration.compare(tmp_path / "nowhere", out, ["dust"], page) == 0
