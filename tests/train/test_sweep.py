"""What a sweep sends to W&B at its end, read back from the file of an offline run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from omegaconf import OmegaConf

from inpaint.evaluation.comparison import SUMMARY_MEASURES
from inpaint.train.sweep import Comparison
from tests.evaluation.test_comparison import IDS, write_job
from tests.evaluation.test_wandb import finished, history_of

COMPARISON = Comparison(pictures=8, closeups=False, worst=False)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


def test_the_comparison_is_a_run_in_the_group_of_the_jobs(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "rule=ncc", dict.fromkeys(IDS, 1.0))
    write_job(tmp_path / "1", "rule=l2", dict.fromkeys(IDS, 2.0))
    config = {"hydra": {"sweep": {"dir": str(tmp_path)}}, "logger": {"wandb": {"project": "inpaint"}}}
    COMPARISON.on_multirun_end(OmegaConf.create(config))
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    run = finished(file)
    about = next(record.run for record in run if record.HasField("run"))
    assert (about.run_group, about.job_type, about.display_name) == ("x", "comparison", "x comparison")
    logged = history_of(run)
    (name,) = logged["comparison picture"]["filenames"]
    assert (file.parent / "files" / name).read_bytes() == (tmp_path / "summary.png").read_bytes()
    table = json.loads((file.parent / "files" / logged["comparison"]["path"]).read_text())
    assert table["columns"] == ["job", *SUMMARY_MEASURES]
    assert table["data"][-1] == ["l2", 1, 1, 2, 1, 1, None, 1]


def test_a_comparison_that_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra would make a warning of any other error."""

    def fail(*_: object, **__: object) -> None:
        raise IndexError("a fault of ours")

    monkeypatch.setattr("inpaint.train.sweep.compare", fail)
    with pytest.raises(SystemExit) as ended:
        COMPARISON.on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}, "logger": {}}))
    assert ended.value.code == 1
