"""What a sweeper is told, an Optuna sweep of four trials, and the ready sweep.yaml of W&B."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.runs import records
from inpaint.train import job
from inpaint.train.objective import check_direction, read_objective
from inpaint.train.tree import Arguments, tree_of

ROOT = CONF.parent
MEANS = {
    "name": "x",
    "pictures": 2,
    "refined": {"hole": {"psnr": 20.0, "ssim": None}, "perceptual": 0.5},
    "intervals": {"refined": {"perceptual": {"low": 0.1}}},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "metrics.json").write_text(json.dumps(MEANS))
    return tmp_path


def test_an_objective_is_a_mean_or_a_logged_value(results: Path) -> None:
    assert read_objective(None, results, {}) is None
    assert read_objective("refined.perceptual", results, {}) == 0.5
    assert read_objective("refined.hole.psnr", results, {}) == 20
    assert read_objective("content/val_l2", results, {"content/val_l2": 3.0}) == 3
    assert read_objective("refined.hole.ssim", results, {}) is None  # undefined: failed, for a sweeper
    assert read_objective("a", results, {"a": math.inf}) is None


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("refined.perceptul", "did you mean refined.perceptual"),
        ("perceptual", "did you mean refined.perceptual"),
        ("refined.psnr", "did you mean refined.hole.psnr"),
        ("content/val_l1", "did you mean content/val_l2"),
        ("zebra", "there are content/val_l2, pictures, refined.hole.psnr"),
    ],
)
def test_a_wrong_objective_names_those_that_are_near(name: str, near: str, results: Path) -> None:
    with pytest.raises(UserError, match=f"^objective is {name}, and the run has no such result: {near}"):
        read_objective(name, results, {"content/val_l2": 3.0})


def test_the_checkpoints_of_another_configuration_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is refused, and its folder is as it was, so that the first configuration can go on; results may go."""
    monkeypatch.setattr(job, "overrides_by_key", lambda own: {})
    monkeypatch.setattr(job, "train", lambda *_: {})
    own: Any = SimpleNamespace(overrides=SimpleNamespace(task=["a=1"]))
    config = {"paths": {"output": str(tmp_path)}, "fit": True, "ckpt_path": None, "trainer": {"devices": 1}}
    job.run_job(OmegaConf.create(config | {"seed": 1}), own)
    (tmp_path / "metrics.csv").write_text("")
    job.run_job(OmegaConf.create(config | {"seed": 2}), own)
    assert not (tmp_path / "metrics.csv").exists()

    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.write_text("weights")
    record = records.read(tmp_path)
    with pytest.raises(UserError, match=r"^Another configuration was trained in .*: give another hydra\.sweep\.dir"):
        job.run_job(OmegaConf.create(config | {"seed": 3}), own)
    assert (checkpoint.read_text(), records.read(tmp_path)) == ("weights", record)
    job.run_job(OmegaConf.create(config | {"seed": 2}), own)


def test_a_job_tells_its_objective_also_when_it_had_finished_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "overrides_by_key", lambda own: {})
    own: Any = SimpleNamespace(overrides=SimpleNamespace(task=["a=1"]))
    config = {"paths": {"output": str(tmp_path)}, "fit": False, "ckpt_path": None, "trainer": {"devices": 1}}
    cfg = OmegaConf.create(config | {"objective": "content/val_l2"})

    def fail(*_: object) -> dict[str, float]:
        raise UserError("wrong")

    monkeypatch.setattr(job, "train", fail)
    assert job.run_job(cfg, own) is None
    monkeypatch.setattr(job, "train", lambda *_: {"content/val_l2": 2.0, "content/val_psnr": 9.0})
    assert job.run_job(cfg, own) == 2
    monkeypatch.setattr(job, "train", fail)
    assert job.run_job(cfg, own) == 2
    cfg.objective = "content/val_psnr"  # another question about the same job
    assert job.run_job(cfg, own) == 9
    record = records.read(tmp_path)
    assert record is not None
    assert record.logged == {"content/val_l2": 2, "content/val_psnr": 9}


FEW = ["model=classical", "fit=false", "data.test_size=64", "data.num_workers=0", "data.test_pictures=1", "logger=csv"]
OPTUNA = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=1", "objective=refined.perceptual"]
SPACE = ["model.method=telea,biharmonic", "data.evaluation_hole.fraction=interval(0.2,0.5)"]


@pytest.mark.parametrize(
    ("name", "direction", "right"),
    [
        ("refined.hole.psnr", "minimize", "maximize"),
        ("content/val_psnr", "minimize", "maximize"),
        ("refined.whole.ssim", "minimize", "maximize"),
        ("refined.perceptual", "maximize", "minimize"),
        ("content.whole.lpips_vgg", "maximize", "minimize"),
        ("refined.fid", "maximize", "minimize"),
        ("content/val_l2", "maximize", "minimize"),
    ],
)
def test_a_sweep_for_the_worst_is_refused(name: str, direction: str, right: str) -> None:
    with pytest.raises(UserError, match=rf"would {direction} {name}, .* set hydra\.sweeper\.direction={right}\.$"):
        check_direction(name, direction)
    check_direction(name, right)
    check_direction("refined.mine", direction)
    check_direction(name, "['minimize', 'maximize']")


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "inpaint.train", *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_an_optuna_sweep_of_four_trials_and_how_it_goes_on(tmp_path: Path) -> None:
    """By an experiment file; the same command in its folder asks for the same again, and one more trial is one more."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    experiment = {
        "defaults": [{"override /hydra/sweeper": "optuna"}, "_self_"],
        "name": "search",
        "objective": "refined.perceptual",
        "hydra": {
            "mode": "MULTIRUN",
            "sweeper": {"n_trials": 4, "n_jobs": 1, "params": dict(word.split("=") for word in SPACE)},
        },
    }
    text = "# @package _global_\n" + yaml.safe_dump(experiment, sort_keys=False)
    (tmp_path / "conf" / "experiment" / "search.yaml").write_text(text)
    words = ["--config-dir=conf", "+experiment=search", *FEW, "hydra.sweep.dir=sweep"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "sweep"
    assert "alembic" not in done.stdout

    sweep = tmp_path / "sweep"
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    measured = [json.loads((sweep / str(i) / "metrics.json").read_text())["refined"]["perceptual"] for i in range(4)]
    assert best["best_value"] == pytest.approx(min(measured))
    summary = json.loads((sweep / "summary.json").read_text())
    assert len(summary["rows"]) == 4  # our comparison of the trials
    assert (sweep / "multirun.yaml").is_file()

    tried = [(sweep / str(i) / "job.json").read_text() for i in range(4)]
    done = command(*words, "hydra.sweeper.n_trials=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished before, so not run again") == 4
    assert [json.loads((sweep / str(i) / "job.json").read_text())["config"] for i in range(4)] == [
        json.loads(text)["config"] for text in tried
    ]
    assert (sweep / "4" / "metrics.json").is_file()


@pytest.mark.parametrize("methods", ["telea,magic", "magic,spell"])
def test_a_failed_trial_ends_no_other(methods: str, tmp_path: Path) -> None:
    """The best of those that did not fail is known; where all failed, a sentence says so."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    done = command("-m", *FEW, *OPTUNA, f"model.method={methods}", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "There is no classical method 'magic'" in done.stderr
    if "telea" in methods:
        best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
        assert best["best_params"] == {"model.method": "telea"}
        assert "Failed: magic" in done.stdout
    else:
        assert "error: All jobs of the sweep failed; it says above why." in done.stderr


def test_optuna_without_an_objective_is_told(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    done = command("-m", *FEW, *OPTUNA[:2], SPACE[0], cwd=tmp_path)
    assert done.returncode == 2
    assert "This sweeper needs an objective, such as objective=refined.perceptual." in done.stderr
    done = command("-m", *FEW, *OPTUNA[:2], "objective=refined.hole.psnr", SPACE[0], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("better larger: set hydra.sweeper.direction=maximize.")


SWEEP = yaml.safe_load((ROOT / "experiments" / "sweep.yaml").read_text())


def test_the_agent_calls_the_command_without_hyphens() -> None:
    assert SWEEP["command"][:4] == ["${env}", "python", "-m", "inpaint.train"]
    assert SWEEP["command"][-1] == "${args_no_hyphens}"
    assert SWEEP["metric"]["name"].startswith("test/")


@pytest.mark.parametrize("name", SWEEP["parameters"])
def test_the_command_takes_each_parameter_of_the_wandb_sweep(name: str) -> None:
    given = SWEEP["parameters"][name]
    values = given.get("values") or [given[bound] for bound in ("value", "min", "max") if bound in given]
    fixed = [word for word in SWEEP["command"][4:] if "=" in word]
    with tree_of(Arguments.of(fixed)) as tree:
        for value in values:
            cfg = tree.compose([*fixed, f"{name}={value}"])
            if "/" not in name:
                assert OmegaConf.select(cfg, name) == value
