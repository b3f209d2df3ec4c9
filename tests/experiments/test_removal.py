import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.gmic import Gmic, gmic_version
from experiments.removal import removal

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two small photographs, an objects file for them, and two quick methods that run in this process."""
    folder = tmp_path / "data"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for name in ("a", "b"):
        Image.fromarray(noise).save(folder / f"{name}.png")
    objects = tmp_path / "objects.yaml"
    objects.write_text(
        "".join(
            f"{name}: {{photo: {name}.png, what: a {name}, shapes: [box: [0.4, 0.4, 0.6, 0.6]]}}\n" for name in "ab"
        )
    )

    def grey(photo, mask):
        return np.where(mask[..., None], np.uint8(128), photo)

    read_scenes = removal.read_scenes
    monkeypatch.setattr(removal, "read_scenes", lambda data: read_scenes(data, objects))
    monkeypatch.setattr(
        removal, "METHODS", {"grey": removal.Method("Grey", "numpy", lambda: grey), "gone": removal.METHODS["telea"]}
    )
    monkeypatch.setattr(removal, "version", {"grey": "1", "gone": None}.get)
    return folder


@pytest.fixture
def started(monkeypatch):
    """What was computed, in order."""
    calls = []

    def start(name, folder, key):
        calls.append((folder.name, name))
        removal.measure(name, folder, key)

    monkeypatch.setattr(removal, "start", start)
    return calls


def published(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "results.md"
    path.write_text("old")
    return path


def test_twelve_objects_are_small_parts_of_their_photographs():
    scenes = removal.read_scenes(DATA)
    assert len(scenes) == 12
    for scene in scenes:
        mask = removal.draw_mask(scene.shapes, (400, 300))
        assert 0.002 < mask.mean() < 0.3, scene.name


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_every_object_has_its_photograph():
    assert [scene.name for scene in removal.read_scenes(DATA) if not scene.path.is_file()] == []


def test_shapes_scale_with_the_photograph():
    mask = removal.draw_mask([{"box": [0.25, 0.5, 0.5, 1.0]}], (80, 60))
    expected = np.zeros((60, 80), dtype=bool)
    expected[30:60, 20:40] = True
    assert (mask == expected).all()
    ellipse = removal.draw_mask([{"ellipse": [0.5, 0.5, 0.25, 0.25]}], (400, 200))
    assert ellipse.sum() == pytest.approx(np.pi * 100 * 50, rel=0.02)
    triangle = removal.draw_mask([{"polygon": [0, 0, 1, 0, 0, 1]}], (200, 200))
    assert triangle.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("shape", [{"box": [0.5, 0.5, 1.2, 0.6]}, {"ellipse": [0.1, 0.5, 0.2, 0.1]}, {"star": [0.5]}])
def test_a_shape_outside_the_photograph_or_unknown_is_refused(shape):
    with pytest.raises(ValueError, match=r"photograph|no shape"):
        removal.draw_mask([shape], (80, 60))


def test_masks_are_enlarged_round():
    mask = np.zeros((41, 41), dtype=bool)
    mask[20, 20] = True
    larger = removal.enlarge(mask, 8)
    assert larger[20, 12]
    assert not larger[20, 11]
    assert not larger[13, 13]


def test_a_run_renews_pictures_and_table_and_a_second_computes_nothing(data, started, tmp_path, capsys):
    page = published(tmp_path / "page")
    assert removal.compare(data, tmp_path / "out", None, page.parent) == 0
    assert started == [("a", "grey"), ("b", "grey")]
    assert "skipped: OpenCV Telea, for opencv-python-headless is not installed" in capsys.readouterr().out
    text = page.read_text()
    assert "old" not in text
    assert "![a b](b.jpg)" in text
    assert (page.parent / "b.jpg").is_file()
    with Image.open(page.parent / "overview.jpg") as sheet:
        assert sheet.size == (6 * 226 - 6, 220)
        assert sheet.getpixel((110 + 226, 110)) == pytest.approx((128, 128, 128), abs=3)  # the fill in its middle
    filled = np.array(Image.open(tmp_path / "out" / "a" / "grey.png"))
    mask = np.array(Image.open(tmp_path / "out" / "a" / "mask.png")) > 0
    assert (filled[mask] == 128).all()
    assert (filled[~mask] == np.array(Image.open(data / "a.png"))[~mask]).all()

    assert removal.compare(data, tmp_path / "out", None, page.parent) == 0
    assert len(started) == 2
    assert page.read_text() == text


def test_a_changed_photograph_or_version_is_computed_anew(data, started, tmp_path, monkeypatch):
    removal.compare(data, tmp_path / "out", ["a", "b"])
    Image.new("RGB", (80, 60), "red").save(data / "b.png")
    removal.compare(data, tmp_path / "out", ["a", "b"])
    assert started[2:] == [("b", "grey")]
    monkeypatch.setattr(removal, "version", {"grey": "2"}.get)
    removal.compare(data, tmp_path / "out", ["a"])
    assert started[3:] == [("a", "grey")]


def test_a_run_of_some_leaves_the_page_alone(data, started, tmp_path):
    page = published(tmp_path / "page")
    assert removal.compare(data, tmp_path / "out", ["b"], page.parent) == 0
    assert "old" in page.read_text()
    assert "a b" in (tmp_path / "out" / "results.md").read_text()


def test_ctrl_c_keeps_what_is_finished(data, started, tmp_path, monkeypatch, capsys):
    page, start = published(tmp_path / "page"), removal.start

    def interrupted(name, folder, key):
        if folder.name == "b":
            raise KeyboardInterrupt
        start(name, folder, key)

    monkeypatch.setattr(removal, "start", interrupted)
    assert removal.compare(data, tmp_path / "out", None, page.parent) == 130
    assert "Interrupted" in capsys.readouterr().out
    assert "old" in page.read_text()
    monkeypatch.setattr(removal, "start", start)
    assert removal.compare(data, tmp_path / "out", None, page.parent) == 0
    assert started == [("a", "grey"), ("b", "grey")]


def test_a_failure_is_named_and_stops_no_other(data, started, tmp_path, monkeypatch, capsys):
    start = removal.start
    monkeypatch.setattr(
        removal, "start", lambda name, folder, key: "no memory" if folder.name == "a" else start(name, folder, key)
    )
    assert removal.compare(data, tmp_path / "out", ["a", "b"]) == 1
    assert "a, Grey: no memory" in capsys.readouterr().out
    assert "failed" in (tmp_path / "out" / "results.md").read_text()
    assert started == [("b", "grey")]


def test_missing_photographs_are_skipped_by_name(data, started, tmp_path, capsys):
    page = published(tmp_path / "page")
    (data / "a.png").unlink()
    assert removal.compare(data, tmp_path / "out", None, page.parent) == 0
    assert "skipped: a, for there is no" in capsys.readouterr().out
    assert started == [("b", "grey")]
    assert "old" in page.read_text()  # not for the half of it
    assert removal.compare(tmp_path / "nowhere", tmp_path / "out", None, page.parent) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_a_method_in_a_process_of_its_own_is_measured(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = np.zeros((40, 50), dtype=bool)
    mask[10:20, 10:20] = True
    Image.fromarray(photo).save(tmp_path / "input.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert removal.start("biharmonic", tmp_path, "key") is None
    result = json.loads((tmp_path / "biharmonic.json").read_text())
    assert result["seconds"] > 0
    assert result["memory"] > 0
    assert removal.finished("biharmonic", tmp_path, "key") == result
    assert removal.finished("biharmonic", tmp_path, "another") is None
    filled = np.array(Image.open(tmp_path / "biharmonic.png"))
    assert (filled[~mask] == photo[~mask]).all()
    (tmp_path / "mask.png").unlink()
    assert "mask.png" in (removal.start("biharmonic", tmp_path, "key") or "")


@pytest.mark.skipif(gmic_version() is None, reason="G'MIC is not installed")
def test_gmic_fills_the_hole_and_says_what_it_held():
    photo = np.full((60, 80, 3), (200, 120, 40), dtype=np.uint8)
    photo[:, ::4] = 90
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 30:50] = True
    gmic = Gmic()
    filled = gmic(np.where(mask[..., None], np.uint8(255), photo), mask)
    assert np.abs(filled.astype(int) - photo)[mask].mean() < 40
    assert np.array_equal(filled[:, :20], photo[:, :20])
    assert gmic.peak >= 0


def test_gmic_is_left_out_where_it_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert removal.version("gmic") is None
