"""What a run says where no terminal is."""

import logging
import warnings
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import TQDMProgressBar

from inpaint.runs import progress
from inpaint.runs.noise import silence_known_warnings
from tests.runs.test_resume import TRAINING, command, training

WITH_PROGRESS = [value for value in TRAINING if value != "~callbacks.progress"]


def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, kind in ((True, TQDMProgressBar), (False, progress.ProgressLines)):
        monkeypatch.setattr("sys.stdout.isatty", lambda answer=terminal: answer)
        assert type(progress.progress_bar()) is kind


def test_a_line_says_how_far_a_training_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where every batch is due; a resumed training estimates by its own batches."""
    caplog.set_level(logging.INFO, "inpaint.runs.progress")
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: False)
    bar = "+callbacks.progress._target_=inpaint.runs.progress.ProgressLines"
    training(tmp_path, bar, "trainer.max_epochs=1")
    lines = [record.message for record in caplog.records if record.name == progress.__name__]
    assert len(lines) == 7
    assert lines[2].startswith("Epoch 0, batch 3 of 7: content/loss_rec ")
    assert lines[2].endswith(" left")
    assert lines[-1].endswith(", 0:00:00 left")
    caplog.clear()
    training(tmp_path, bar, "test=true", "data.test_pictures=2", "ckpt_path=last")
    lines = [record.message for record in caplog.records if record.name == progress.__name__]
    assert len(lines) == 7 + 2
    assert lines[0].startswith("Epoch 1, batch 1 of 7: content/loss_rec ")
    assert lines[-1] == "Tested: 2 of 2 batches: 0:00:00 left"


def test_what_is_left_ends_with_the_last_batch_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it is of an epoch or of `trainer.max_steps`, which counts batches."""
    caplog.set_level(logging.INFO, "inpaint.runs.progress")
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    bar = "+callbacks.progress._target_=inpaint.runs.progress.ProgressLines"
    training(tmp_path, bar, "trainer.max_epochs=100", "trainer.max_steps=3")
    lines = [record.message for record in caplog.records if record.name == progress.__name__]
    assert [line.partition(":")[0] for line in lines] == [f"Epoch 0, batch {batch} of 7" for batch in (1, 2, 3)]
    assert lines[-1].endswith(", 0:00:00 left")


def test_without_a_terminal_a_short_run_says_next_to_nothing(tmp_path: Path) -> None:
    """No bar, no warning of another library; and `train.log` holds what was said."""
    overrides = ["data.num_workers=0", "test=true", "data.test_pictures=1", "trainer.log_every_n_steps=10"]
    done = command(*WITH_PROGRESS, *overrides, "trainer.profiler=simple", f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\r" not in done.stdout
    assert "FIT Profiler Report" in done.stdout
    log = (tmp_path / "train.log").read_text()
    assert "FIT Profiler Report" in log
    assert f"Testing the weights of epoch 1, the best by content/val_l2: {tmp_path}/checkpoints/best.ckpt" in log


def test_known_warnings_are_silenced_and_others_logged(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        logging.captureWarnings(False)  # another test may have left it on, without the function that it had put in
        silence_known_warnings()
        try:
            warnings.warn("The number of training batches (1) is smaller than the logging interval", stacklevel=1)
            warnings.warn("The number of moons is smaller than it was", stacklevel=1)
        finally:
            logging.captureWarnings(False)
    assert [("moons" in record.message) for record in caplog.records] == [True]
