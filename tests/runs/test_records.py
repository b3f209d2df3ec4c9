from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from inpaint.errors import UserError
from inpaint.runs import records
from inpaint.train import job


def test_a_record_is_for_its_own_configuration_alone(tmp_path: Path) -> None:
    assert records.read(tmp_path) is None
    assert records.state(tmp_path, "a: 1") is None
    for became in ("begun", "finished"):
        records.write(tmp_path, ["a=1"], "a: 1", became)
        assert records.state(tmp_path, "a: 1") == became
        assert records.state(tmp_path, "a: 2") is None
    record = records.read(tmp_path)
    assert record is not None
    assert (record.overrides, record.state, record.error) == (["a=1"], "finished", "")


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"state": "finished"}', "\x00"):
        (tmp_path / records.FILE).write_text(text)
        assert records.read(tmp_path) is None


def test_a_job_resumes_its_own_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another configuration left in the folder is neither resumed from nor compared."""
    seen: list[str | None] = []
    monkeypatch.setattr(job, "train", lambda cfg, sweep: seen.append(cfg.ckpt_path) or {})
    monkeypatch.setattr(job, "overrides_by_key", lambda own: {})
    own: Any = SimpleNamespace(overrides=SimpleNamespace(task=["a=1"]))

    def config(devices: list[int]) -> DictConfig:
        output = {"output": str(tmp_path)}
        return OmegaConf.create({"paths": output, "fit": True, "ckpt_path": None, "trainer": {"devices": devices}})

    def run(devices: list[int]) -> records.Record | None:
        job.run_job(config(devices), own)
        return records.read(tmp_path)

    left = [tmp_path / "checkpoints" / "last.ckpt", tmp_path / "metrics.csv", tmp_path / "metrics.json"]
    left[0].parent.mkdir()
    for path in left:
        path.write_text("another configuration's")
    with pytest.raises(UserError, match="Another configuration was trained in"):
        run([0])
    assert all(path.exists() for path in left)
    left[0].unlink()
    record = run([0])  # the first of several devices
    assert record is not None
    assert record.state == "finished"
    assert not any(path.exists() for path in left)
    own.overrides.task = ["a=2"]
    record = run([0])
    assert record is not None
    assert record.overrides == ["a=2"]
    assert seen == [None]  # not run again

    records.write(tmp_path, ["a=2"], OmegaConf.to_yaml(config([0])), "begun")  # killed
    run([0])
    assert seen == [None, "last"]
    record = run([0, 1])
    assert record is not None
    assert record.state == "failed"
    assert "each job of a sweep runs on one" in record.error
    assert seen == [None, "last"]
