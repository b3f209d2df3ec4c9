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
from inpaint.evaluation import report as generic
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
    told = {
        "callbacks": {"comparison": {"_target_": "x", "pictures": 1, "worst": True}},
        "overrides": {"hydra": ["hydra.sweep.dir=/a/b/sweep"], "task": ["+experiment=matching_rule", *data]},
        "runtime": {"config_sources": [{"path": "/a/b/inpaint/conf", "schema": "file", "provider": "main"}]},
    }
    (folder / "multirun.yaml").write_text(json.dumps({"hydra": told}))  # JSON is YAML
    return folder


@pytest.fixture
def home(tmp_path):
    """A copy of experiments/ to publish into."""
    for study in studies():
        (tmp_path / "home" / study).mkdir(parents=True)
        shutil.copy(report.HERE / study / "README.md", tmp_path / "home" / study)
    return tmp_path / "home"


def run(monkeypatch, *arguments, program=report) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    try:
        program.main()
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


@pytest.mark.parametrize("program", [report, generic])
@pytest.mark.parametrize("there", [True, False])
def test_a_study_of_one_s_own_is_published_into_its_folder(program, there, sweep, tmp_path, monkeypatch, capsys):
    before = (report.HERE / "RESULTS.md").read_bytes()
    if there:
        (tmp_path / "mine" / "my_study").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "sweep", "--publish", "mine/my_study", program=program) == 1
    assert capsys.readouterr().out.endswith("mine/my_study/results.md\n")
    text = (tmp_path / "mine/my_study/results.md").read_text()
    assert text.startswith("Made on ")
    assert "![my_study](summary.jpg)" in text
    assert "| l2 | 1.000 |" in text
    assert {path.name for path in (tmp_path / "mine/my_study").iterdir()} == {"results.md", "summary.jpg"}
    assert (report.HERE / "RESULTS.md").read_bytes() == before


def test_the_command_is_the_one_that_was_given(sweep):
    told = {
        "overrides": {
            "hydra": ["hydra.mode=MULTIRUN", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.run.dir=x"],
            "task": ["+experiment=mine", "model.preset.alpha=0,1", "data.root=/a/photos", "~callbacks.progress"],
        },
        "runtime": {"config_sources": [{"path": "/a/b/my_conf", "schema": "file", "provider": "command-line"}]},
    }
    (sweep / "multirun.yaml").write_text(json.dumps({"hydra": told}))
    assert generic.command(sweep) == (
        "python -m inpaint.train -m --config-dir .../my_conf hydra/sweeper=optuna hydra.sweeper.n_trials=4 "
        "+experiment=mine model.preset.alpha=0,1 data.root=.../photos '~callbacks.progress'"
    )
    (sweep / "multirun.yaml").unlink()
    assert generic.command(sweep) == "python -m inpaint.train"
    assert generic.comparison_options(sweep) == {}


def test_jobs_without_a_picture_in_common_are_published_without_any(sweep, tmp_path, monkeypatch):
    table = sweep / "1" / "metrics.csv"
    table.write_text(table.read_text().replace("\na,", "\nc,").replace("\nb,", "\nd,"))
    assert run(monkeypatch, sweep, "--publish", tmp_path / "mine") == 1
    assert "![" not in (tmp_path / "mine" / "results.md").read_text()


def test_a_large_picture_becomes_a_small_file(sweep, home, monkeypatch):
    monkeypatch.setattr(report, "HERE", home)
    summary = generic.compare(sweep)
    write_picture(torch.rand(3, 2000, 2000), sweep / "summary.png")  # nothing is harder to compress
    report.publish_study(sweep, "matching_rule", summary)
    written = home / "matching_rule" / "summary.jpg"
    assert written.stat().st_size <= MOST_BYTES
    with Image.open(written) as picture:
        assert picture.width <= generic.WIDEST


def test_bad_usage(sweep, home, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, tmp_path / "nothing") == 2
    assert "holds no job of a sweep" in capsys.readouterr().err
    assert run(monkeypatch, sweep, "--publish", "nothing") == 2
    error = capsys.readouterr().err
    assert "There is no study 'nothing'" in error
    assert "or give a folder, as ./nothing." in error
    with pytest.raises(UserError, match="nothing to publish"):
        report.publish_study(sweep, "matching_rule", {"rows": []})


def test_every_study_has_its_experiment_its_page_and_its_target():
    asked = ["make", "--silent", "--eval", "list-studies: ; @echo $(STUDIES)", "list-studies"]
    listed = subprocess.run(asked, cwd=CONF.parent, capture_output=True, text=True, check=True).stdout
    assert listed.split() == studies()
    for study in studies():
        assert f"]({study}/README.md)" in (report.HERE / "README.md").read_text()
        assert f"](../experiments/{study}/README.md)" in (CONF.parent / "docs" / "reproduce.md").read_text()
        text = (report.HERE / study / "README.md").read_text()
        assert f"make {study}" in text
        assert f"+experiment={study}" in text
