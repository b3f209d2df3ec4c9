"""The choices of the refinement and the picture of its scales, on two made pictures and with one iteration."""

import sys
from functools import partial

import pytest
import torch

from experiments.refine import overview, scales
from experiments.refinement_choices import choices
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.refinement.settings import preset

QUICK = partial(preset, scales=3, rounds=1, iterations=1, gradient_scales=1)  # at 128, and up to 512 by detail


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of them, and experiments that write beside it."""
    torch.manual_seed(0)
    for i in range(2):
        write_picture(resize(torch.rand(1, 3, 64, 64), (512, 512))[0], tmp_path / "data" / f"real_{i}.png")
        published = torch.zeros(3, 208, 208)  # of which the middle is shown
        published[:, 44:164, 44:164] = 0.6
        write_picture(published, tmp_path / "data" / f"published_{i}.png")
    for module in (choices, scales):
        monkeypatch.setattr(module, "HERE", tmp_path)
    return tmp_path


def test_a_row_a_choice_and_none_is_measured_twice(pictures, monkeypatch):
    monkeypatch.setattr(choices, "preset", QUICK)
    monkeypatch.setattr(choices, "GROUPS", {"alpha": {"alpha 0": QUICK(alpha=0)}})
    arguments = ["choices", "--data", str(pictures / "data"), "--results", str(pictures / "results"), "--pictures", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    (pictures / "README.md").write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n")
    choices.main()
    written = (pictures / "README.md").read_text()
    lines = written.splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line.split(" | ")[0] for line in lines[2:-2]] == [
        "| variant",
        "| ---",
        "| stage 1 alone",
        "| **default**",
        "| alpha 0",
    ]
    assert "nan" not in written
    assert read_picture(pictures / "alpha.jpg").shape[-1] == 3 * 154 - 4

    monkeypatch.setattr(choices, "run", None)  # a second run finds all in the folder of results
    choices.main()
    assert (pictures / "README.md").read_text() == written


def test_the_picture_of_the_scales(pictures, monkeypatch):
    monkeypatch.setattr(scales, "preset", QUICK)
    monkeypatch.setattr(scales, "GROWN", [path.name for path in sorted((pictures / "data").glob("real_*"))[:1]])
    monkeypatch.setattr(sys, "argv", ["scales", "--data", str(pictures / "data"), "--pictures", "1"])
    scales.main()
    shown = read_picture(pictures / "scales.jpg")
    assert shown.shape == (3, 24 + 164, 6 * 164 - 4)
    assert (shown[:, 34:174, -150:-10] - 0.6).abs().max() < 0.1
    assert read_picture(pictures / "growth.jpg").shape == (3, 24 + 164, 9 * 164 - 4)


def run_of(folder, pictures, side=512):
    """A run whose pictures are plain: the n-th stage of the i-th is as bright as (1 + i + 3 n) / 20."""
    for i in range(pictures):
        for n, stage in enumerate(("input", "content", "refined", "truth")):
            plain = torch.full((3, side, side), (1 + i + 3 * n) / 20)
            write_picture(plain, folder / "pictures" / f"real_{i}" / f"{stage}.png")


@pytest.mark.parametrize("published", [False, True])
def test_the_pictures_of_a_run_in_two_columns(tmp_path, monkeypatch, published):
    run_of(tmp_path / "run", 3)
    for i in range(3):
        theirs = torch.zeros(3, 208, 208)  # of which the middle is shown
        theirs[:, 44:164, 44:164] = (14 + i) / 20
        write_picture(theirs, tmp_path / f"published_{i}.png")
    options = ["--published", str(tmp_path)] if published else []
    monkeypatch.setattr(sys, "argv", ["overview", str(tmp_path / "run"), str(tmp_path / "out.jpg"), *options])
    overview.main()
    columns = 5 if published else 4
    found = read_picture(tmp_path / "out.jpg")[0, 24 + 8 :: 154, 8::154] * 20
    rows = [[(14 if n == 4 else 1 + 3 * n) + i for n in range(columns)] for i in range(3)]
    expected = torch.tensor([rows[0] + rows[2], rows[1] + [20] * columns])
    torch.testing.assert_close(found, expected.float(), atol=0.3, rtol=0)


@pytest.mark.parametrize(("side", "sentence"), [(512, "does not exist"), (64, "is 64 x 64, but what was published")])
def test_what_cannot_stand_beside_the_published_results(tmp_path, monkeypatch, capsys, side, sentence):
    run_of(tmp_path / "run", 1, side)
    options = ["--published", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["overview", str(tmp_path / "run"), str(tmp_path / "out.jpg"), *options])
    with pytest.raises(SystemExit, match="2"):
        overview.main()
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.jpg").exists()


def test_a_folder_that_is_no_run_has_no_overview(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["overview", str(tmp_path), "out.jpg"])
    with pytest.raises(SystemExit, match="2"):
        overview.main()
    assert "holds no pictures: give the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize("module", [choices, scales])
def test_without_the_pictures_nothing_is_done(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--data", str(tmp_path)])
    module.main()
    assert capsys.readouterr().out.startswith("skipped, for")
