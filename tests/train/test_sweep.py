"""What a sweep sends to W&B at its end, read back from the file of an offline run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from omegaconf import OmegaConf

from inpaint.evaluation.comparison import comparison_table
from inpaint.train.names import name_for_agent, name_job
from inpaint.train.sweep import SUMMARY, Comparison
from inpaint.train.tree import Arguments, tree_of
from tests.evaluation.test_comparison import IDS, write_job
from tests.evaluation.test_wandb import config_of, finished, history_of

COMPARISON = Comparison(pictures=8, closeups=False, worst=False)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


def test_the_comparison_is_a_run_in_the_group_of_the_jobs(tmp_path: Path) -> None:
    """With the tags and the configuration of the sweep, what was swept, and a table with intervals and differences."""
    folder = tmp_path / "x" / "2026-01-02"
    write_job(folder / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    write_job(folder / "1", "rule=l2", dict.fromkeys(IDS, 2.0))
    with tree_of(Arguments.of([])) as tree:
        config = tree.compose(["logger=wandb", "tags=[fast]", "logger.wandb.notes=why", "model.warm_up=7"])
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.sweep.dir = str(folder)
    config.hydra.overrides.task = ["rule=ncc,l2", "tags=[fast]"]
    COMPARISON.on_multirun_start(config)
    COMPARISON.on_multirun_end(config)
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    run = finished(file)
    about = next(record.run for record in run if record.HasField("run"))
    assert (about.run_group, about.job_type, about.display_name) == ("x 2026-01-02", "comparison", "x comparison")
    assert (list(about.tags), about.notes) == (["fast"], "why")
    logged_config = config_of(run)
    assert logged_config["model"]["warm_up"] == 7
    assert logged_config["sweep"] == {"rule": "ncc,l2"}
    logged = history_of(run)
    (name,) = logged["comparison picture"]["filenames"]
    assert (file.parent / "files" / name).read_bytes() == (folder / "summary.png").read_bytes()
    table = json.loads((file.parent / "files" / logged["comparison"]["path"]).read_text())
    columns, rows = comparison_table(json.loads((folder / "summary.json").read_text()))
    assert (table["columns"], len(table["data"])) == (columns, len(rows))
    assert {"hole_psnr", "hole_psnr low", "hole_psnr difference"} <= set(columns)
    (files,) = [record.artifact for record in run if record.HasField("artifact") and record.artifact.type == "results"]
    assert sorted(entry.path for entry in files.manifest.contents) == sorted(SUMMARY)


def test_jobs_cannot_share_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tree_of(Arguments.of([])) as tree:
        config = tree.compose(["logger=wandb", "logger.wandb.id=x", f"hydra.sweep.dir={tmp_path / 'sweep'}"])
    with pytest.raises(SystemExit) as ended:
        COMPARISON.on_multirun_start(config)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: logger.wandb.id would put all jobs of the sweep into one W&B run: leave it out.\n"
    )


def test_jobs_are_named_by_what_was_swept_in_a_group_of_their_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name and a group of one's own stay; what all jobs share is no part of a name."""
    folder = tmp_path / "2026-01-02"
    own = {
        "sweeper": {"params": {"model/preset": "best, default"}},
        "overrides": {"task": ["a.alpha_x=choice(1,2)", "b=3"]},
    }
    folder.mkdir()
    OmegaConf.save(OmegaConf.create({"hydra": own}), folder / "multirun.yaml")
    task = ["model/preset=best", "a.alpha_x=1", "b=3"]

    def named(**given: str) -> tuple[str, str]:
        cfg = OmegaConf.create({"name": "n", "logger": {"wandb": {"name": "${name}", "group": "${name}"} | given}})
        name_job(cfg, folder, task)
        return cfg.logger.wandb.name, cfg.logger.wandb.group

    assert named() == ("n best, alpha x 1", "n 2026-01-02")
    assert named(name="mine", group="ours") == ("mine", "ours")
    (folder / "multirun.yaml").unlink()
    assert named() == ("n", "n 2026-01-02")
    name_job(OmegaConf.create({"name": "n", "logger": {"csv": {}}}), folder, task)

    cfg = OmegaConf.create({"name": "n", "logger": {"wandb": {"name": "${name}"}}})
    (tmp_path / "given.yaml").write_text("wandb_version: 1\n\na.alpha_x:\n  value: 1\n")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "given.yaml"))
    name_for_agent(cfg, task)
    assert cfg.logger.wandb.name == "n alpha x 1"


def test_a_comparison_that_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra would make a warning of any other error."""

    def fail(*_: object, **__: object) -> None:
        raise IndexError("a fault of ours")

    monkeypatch.setattr("inpaint.train.sweep.compare", fail)
    with pytest.raises(SystemExit) as ended:
        COMPARISON.on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}, "logger": {}}))
    assert ended.value.code == 1
