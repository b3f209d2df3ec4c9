"""The report on a sweep's folder, and what it publishes."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

from experiments import report
from experiments.pictures import MOST_BYTES
from experiments.studies import studies
from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.imaging.reading import write_picture
from inpaint.runs import records

HEAD = "id,refined_hole_l1,refined_hole_psnr,seconds\n"


@pytest.fixture
def sweep(tmp_path):
    """Two finished jobs and one that failed, on two pictures."""
    folder = tmp_path / "sweep"
    for number, rule in enumerate(("ncc", "l2", "cosine")):
        job = folder / str(number)
        data = ["data.root=/a/b/photos", "data.split=[0,0,1]"]
        overrides = [f"model.preset.rule={rule}", "+experiment=matching_rule", *data]
        if rule == "cosine":
            records.write(job, overrides, rule, "failed", "There is no such rule.")
            continue
        records.write(job, overrides, rule, "finished")
        (job / "metrics.csv").write_text(f"{HEAD}a,{number},20,1\nb,{number},10,1\n")
        (job / "metrics.json").write_text(json.dumps({"name": "matching_rule"}))
        for picture_id in "ab":
            for kind in ("input", "refined", "truth"):
                write_picture(torch.rand(3, 40, 40), job / "pictures" / picture_id / f"{kind}.png")
    (folder / "multirun.yaml").write_text("hydra: {callbacks: {comparison: {_target_: x, pictures: 1, worst: true}}}\n")
    return folder


@pytest.fixture
def home(tmp_path):
    """A copy of experiments/ to publish into."""
    for study in studies():
        (tmp_path / "home" / study).mkdir(parents=True)
        shutil.copy(report.HERE / study / "README.md", tmp_path / "home" / study)
    return tmp_path / "home"


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    try:
        report.main()
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_report_compares_as_the_sweep_did_and_names_what_failed(sweep, monkeypatch, capsys):
    assert run(monkeypatch, sweep) == 1
    assert "Failed: cosine (job 2): There is no such rule." in capsys.readouterr().out
    assert json.loads((sweep / "summary.json").read_text())["shown"] == ["b"]  # one picture, the worst
    shutil.rmtree(sweep / "2")
    assert run(monkeypatch, sweep) == 0


def test_what_is_published(sweep, home, monkeypatch):
    monkeypatch.setattr(report, "HERE", home)
    assert run(monkeypatch, sweep, "--publish", "matching_rule") == 1
    results = (home / "matching_rule" / "results.md").read_text()
    assert "`python -m inpaint.train +experiment=matching_rule data.root=.../photos 'data.split=[0,0,1]'`" in results
    assert "/a/b" not in results
    assert "| l2 | 1.000 |" in results
    assert "Failed: cosine (job 2): There is no such rule." in results
    whole = (home / "RESULTS.md").read_text()
    assert "](matching_rule/summary.jpg)" in whole
    assert "(matching_rule/README.md)" in whole
    assert "alpha_sweep" not in whole  # not published


def test_a_large_picture_becomes_a_small_file(tmp_path):
    write_picture(torch.rand(3, 2000, 2000), tmp_path / "noise.png")  # nothing is harder to compress
    report.write_jpeg(tmp_path / "noise.png", tmp_path / "noise.jpg")
    assert (tmp_path / "noise.jpg").stat().st_size <= MOST_BYTES
    with Image.open(tmp_path / "noise.jpg") as picture:
        assert picture.width <= report.WIDEST


def test_bad_usage(sweep, home, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, tmp_path / "nothing") == 2
    assert "holds no job of a sweep" in capsys.readouterr().err
    assert run(monkeypatch, sweep, "--publish", "nothing") == 2
    assert "There is no study 'nothing'" in capsys.readouterr().err
    with pytest.raises(UserError, match="nothing to publish"):
        report.publish(sweep, "matching_rule", {"shown": []})


def test_every_study_has_its_experiment_its_page_and_its_target():
    asked = ["make", "--silent", "--eval", "list-studies: ; @echo $(STUDIES)", "list-studies"]
    listed = subprocess.run(asked, cwd=CONF.parent, capture_output=True, text=True, check=True).stdout
    assert listed.split() == studies()
    assert len(studies()) == 15
    for study in studies():
        assert f"]({study}/README.md)" in (report.HERE / "README.md").read_text()
        assert f"](experiments/{study}/README.md)" in (CONF.parent / "README.md").read_text()
        text = (report.HERE / study / "README.md").read_text()
        assert f"make {study}" in text
        assert f"+experiment={study}" in text
