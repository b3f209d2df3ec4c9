"""Every study as a user types it, made small: its own sweep, its jobs, its summary."""

import json
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from experiments.studies import studies
from inpaint.files import CONF
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.train import __main__ as entry
from inpaint.train import job

STEP = ["model.preset.rounds=1", "model.preset.iterations=1"]
SPECIAL = {  # what replaces STEP
    "alpha_sweep": [*STEP, "model/preset=paper", "model.preset.alpha=0,0.2"],
    "layers": [*STEP, "model/preset=paper", "model.preset.layers=[relu2_1,relu3_1],[relu4_1]"],
    "l2_vs_adversarial": [*STEP, "model/preset=paper"],
    "scales": [*STEP, "data.test_size=256", "model.preset.scales=2,1"],
    "high_resolution": [*STEP, "data.test_size=256", "model.preset.scales=1,3"],
    "table1": [],  # the classical methods have no preset
    "table1_released_hole": ["method=telea,ns"],
    "table1_imagenet": [*STEP, "method=ours_trained"],
    "figure4": [*STEP, "method=ours"],
}


def study(monkeypatch, folder: Path, *overrides: str) -> int:
    """Runs `python -m inpaint.train size=tiny data=sample <overrides>` in this process; its exit code."""
    arguments = ["size=tiny", "data=sample", "~callbacks.progress", f"hydra.sweep.dir={folder}", *overrides]
    monkeypatch.setattr(sys, "argv", ["inpaint.train", *arguments])
    try:
        entry.main()
    except SystemExit as stop:
        return stop.code
    return 0


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("name", studies())
def test_every_study_runs(name, tmp_path, monkeypatch):
    assert study(monkeypatch, tmp_path, f"+experiment={name}", *SPECIAL.get(name, STEP)) == 0
    found = summary(tmp_path)
    assert found["name"] == ("table1" if name == "figure4" else name)
    assert (found["failed"], found["unfinished"], found["pictures"]) == ([], [], 1)
    jobs = {row["job"] for row in found["rows"]}
    assert (len(jobs) == 1) == (name in ("failures", "table1_imagenet", "figure4"))
    assert read_picture(tmp_path / "summary.png").shape[-1] >= 4 * 260 - 4
    assert len({row["label"] for row in found["rows"]}) == len(found["rows"])


@pytest.fixture(scope="module")
def rule(tmp_path_factory):
    """A finished sweep over the two matching rules, one of which was misspelt."""
    folder = tmp_path_factory.mktemp("rule")
    with pytest.MonkeyPatch.context() as patch:
        code = study(
            patch, folder, "+experiment=matching_rule", "model/preset=default", *STEP, "model.preset.rule=ncc,cosine"
        )
    assert code == 1
    return folder


def test_a_job_that_fails_is_named_and_the_others_go_on(rule):
    found = summary(rule)
    assert [row["label"] for row in found["rows"]] == ["content network", "refined"]
    assert found["failed"][0]["label"] == "cosine"
    assert "model.preset.rule is 'cosine', but must be ncc or l2." in found["failed"][0]["error"]


def test_a_bug_in_a_job_ends_that_job_only(tmp_path, monkeypatch, capsys):
    def broken(cfg, *more):
        if cfg.model.preset.rule == "l2":
            raise ZeroDivisionError("by zero")
        return real(cfg, *more)

    real = job.train
    monkeypatch.setattr(job, "train", broken)
    assert (
        study(
            monkeypatch,
            tmp_path,
            "+experiment=matching_rule",
            "model/preset=default",
            *STEP,
            "model.preset.rule=l2,ncc",
        )
        == 1
    )
    assert summary(tmp_path)["failed"][0]["error"] == "ZeroDivisionError: by zero"
    assert len(summary(tmp_path)["rows"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_finished_job_is_not_run_twice(rule, monkeypatch, capsys):
    """The sweep is started again, with the misspelt value mended: only that one is run."""
    before = (rule / "0" / "metrics.csv").stat().st_mtime_ns
    assert (
        study(monkeypatch, rule, "+experiment=matching_rule", "model/preset=default", *STEP, "model.preset.rule=ncc,l2")
        == 0
    )
    assert (rule / "0" / "metrics.csv").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("Finished before") == 1
    assert [row["label"] for row in summary(rule)["rows"]] == ["content network", "ncc", "l2"]
    # another configuration in the same folder is another job
    assert (
        study(monkeypatch, rule, "+experiment=matching_rule", "model/preset=default", *STEP, "model.preset.rule=l2,ncc")
        == 0
    )
    assert (rule / "0" / "metrics.csv").stat().st_mtime_ns > before
    assert [row["label"] for row in summary(rule)["rows"]] == ["content network", "l2", "ncc"]


def test_a_training_that_was_cut_short_goes_on(tmp_path, monkeypatch, capsys):
    """The second time the sweep finds the checkpoint of the first."""
    overrides = ["+experiment=middle", "model.content.generator.middle=fully_connected", *STEP, "trainer.max_epochs=2"]
    real = job.train

    def cut_short(cfg, *more):
        real(OmegaConf.merge(cfg, {"test": False, "trainer": {"max_epochs": 1}}), *more)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train", cut_short)
    assert study(monkeypatch, tmp_path, *overrides) == 130
    monkeypatch.setattr(job, "train", real)
    assert study(monkeypatch, tmp_path, *overrides) == 0
    assert f"Resuming from {tmp_path / '0' / 'checkpoints' / 'last.ckpt'}" in capsys.readouterr().out
    assert torch.load(tmp_path / "0" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1


def test_any_sweep_is_compared(tmp_path, monkeypatch):
    """One on the command line, of no experiment."""
    classical = ["-m", "model=classical", "fit=false", "data.test_size=64", "model.method=telea,ns"]
    monkeypatch.setattr(
        sys, "argv", ["inpaint.train", *classical, "~callbacks.progress", f"hydra.sweep.dir={tmp_path}"]
    )
    entry.main()
    assert [row["label"] for row in summary(tmp_path)["rows"]] == ["telea", "ns"]


def test_ctrl_c_ends_the_sweep_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train", interrupted)
    assert study(monkeypatch, tmp_path, "+experiment=matching_rule") == 130
    said = capsys.readouterr().out
    assert "Interrupted; to go on: python -m inpaint.train size=tiny data=sample" in said
    assert said.count(f"hydra.sweep.dir={tmp_path}") == 1
    assert not (tmp_path / "1").exists()


def test_a_misspelt_key_is_bad_usage(tmp_path, monkeypatch, capsys):
    assert study(monkeypatch, tmp_path, "+experiment=matching_rule", "model.preset.ruel=ncc") == 2
    assert "ruel" in capsys.readouterr().err


def test_a_job_of_a_sweep_runs_on_one_device(tmp_path, monkeypatch):
    assert study(monkeypatch, tmp_path, "+experiment=failures", "trainer.devices=2") == 1
    assert "each job of a sweep runs on one" in summary(tmp_path)["failed"][0]["error"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (["folder", "data.split=[0,0,1]"], "a picture.png"),
        (["imagenet"], "val/n01440764/a picture.png"),
        (["paris_streetview"], "paris_eval/paris_eval_gt/a picture.png"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_any_data_will_do(data, place, tmp_path, monkeypatch):
    write_picture(torch.rand(3, 130, 140), tmp_path / "mine" / place)
    chosen = [f"data={data[0]}", f"data.root={tmp_path / 'mine'}", *data[1:]]
    assert study(monkeypatch, tmp_path / "out", "+experiment=failures", *STEP, *chosen) == 0
    assert [name.rpartition("a_picture")[1:] for name in summary(tmp_path / "out")["shown"]] == [("a_picture", "")]


@pytest.mark.parametrize("launcher", [["joblib", "hydra.launcher.n_jobs=2"], ["submitit_local"]], ids=lambda x: x[0])
def test_the_jobs_of_a_sweep_can_be_spread(launcher, tmp_path, monkeypatch):
    """Two jobs, each in a process of its own, and one summary in the end."""
    monkeypatch.setenv("PYTHONPATH", str(CONF.parent))
    chosen = [f"hydra/launcher={launcher[0]}", *launcher[1:]]
    assert study(monkeypatch, tmp_path, "+experiment=table1", "method=telea,ns", *chosen) == 0
    assert [row["label"] for row in summary(tmp_path)["rows"]] == ["telea", "ns"]


def test_the_slurm_launcher_composes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["inpaint.train", "hydra/launcher=slurm", "--cfg", "hydra"])
    entry.main()
    assert "gpus_per_node: 1" in capsys.readouterr().out
