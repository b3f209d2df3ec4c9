"""A training that was killed or told to stop, and one that never was: the same weights, the same log."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.runs.checkpoint_files import find_checkpoint
from inpaint.runs.checkpoints import Checkpoints
from inpaint.train import run as entry
from tests.train.test_train import composed

# seven batches an epoch, a checkpoint after every third, everything random that there is, weights averaged
TRAINING = [
    "+experiment=content",
    "data=sample",
    "logger=csv",
    "test=false",
    "callbacks=averaged",
    "callbacks.averaging.decay=0.5",
    "callbacks.checkpoints.every_n_batches=3",
    "callbacks.checkpoints.keep=2",
    "~callbacks.progress",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "data.batch_size=2",
    "data.samples_per_epoch=14",
    "data.training_hole={_target_: inpaint.data.masks.mixed, _partial_: true, fraction: 0.5}",
    "model.generator.filters=4",
    "model.generator.bottleneck=8",
    "model.discriminator.filters=4",
    "model.scheduler={_target_: torch.optim.lr_scheduler.ExponentialLR, _partial_: true, gamma: 0.9}",
]


# one thread: how a sum is cut into threads shows in its last bits
ENVIRONMENT = os.environ | {"PYTHONPATH": str(CONF.parent), "COLUMNS": "80", "OMP_NUM_THREADS": "1"}


def command(*overrides: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a session of its own, so that a signal to its group ends no test."""
    return subprocess.run(
        [sys.executable, "-m", "inpaint.train", *overrides],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """This process with as many threads as `command`'s."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def run(cfg: DictConfig) -> None:
    """The same as `command` in this process."""
    entry.train(cfg)


def training(folder: Path, *more: str) -> None:
    run(composed(folder, [*TRAINING, "data.num_workers=0", *more]))


def state(folder: Path) -> dict[str, Any]:
    """All of the last checkpoint but the callbacks', which name the folder."""
    found = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {key: value for key, value in found.items() if key != "callbacks"}


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Bit by bit, through dicts and lists."""
    if isinstance(one, Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key, value in one.items():
            assert_equal(value, other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}/{i}")
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    training(folder)
    return folder


def assert_the_same(folder: Path, whole: Path) -> None:
    assert_equal(state(folder), state(whole))
    assert_equal(
        *(torch.load(f / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for f in (folder, whole))
    )
    assert (folder / "logs" / "metrics.csv").read_text() == (whole / "logs" / "metrics.csv").read_text()


@pytest.mark.parametrize(("at", "batch", "workers"), [("train", 11, 2), ("train", 7, 0), ("validation", 6, 0)])
def test_killed_and_resumed_equals_never_killed(at: str, batch: int, workers: int, whole: Path, tmp_path: Path) -> None:
    """In the middle of an epoch, at its first batch (the last checkpoint is the epoch's before), in a validation."""
    kill = f"+callbacks.kill={{_target_: tests.signals.Signal, number: 9, batch: {batch}, at: {at}}}"
    done = command(*TRAINING, f"data.num_workers={workers}", kill, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    training(tmp_path, "ckpt_path=last")
    assert_the_same(tmp_path, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_saves_and_says_how_to_go_on(number: int, code: int, whole: Path, tmp_path: Path) -> None:
    """The signal reaches the workers as well, as Ctrl-C and Slurm's do; the printed command does the rest."""
    stop = f"+callbacks.stop={{_target_: tests.signals.Signal, number: {int(number)}, batch: 8, group: true}}"
    done = command(*TRAINING, "data.num_workers=2", stop, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Stopping after this batch" in done.stderr
    *_, line, folder = done.stdout.splitlines()
    assert folder == str(tmp_path)
    assert line.startswith("Interrupted; to go on: python -m inpaint.train ")
    overrides = shlex.split(line)[7:]
    assert overrides[-2:] == [f"hydra.run.dir={tmp_path}", "ckpt_path=last"]
    if number == signal.SIGINT:
        again = command(*overrides, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert f"Resuming from {tmp_path}/checkpoints/last.ckpt" in again.stdout
        assert_the_same(tmp_path, whole)


class Stop(pl.Callback):
    """Ends the training after its tenth batch, as `trainer.max_time` does."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.fit_loop.total_batch_idx == 9


STOP = "+callbacks.stop={_target_: tests.runs.test_resume.Stop}"


@pytest.mark.parametrize(("limit", "batches"), [("trainer.max_steps=10", 10), ("trainer.max_steps=3", 3), (STOP, 10)])
def test_a_training_that_a_limit_ended_within_an_epoch_is_extended(
    limit: str, batches: int, whole: Path, tmp_path: Path
) -> None:
    """It finishes the epoch, and validates it; also from a batch after which a checkpoint was due anyway."""
    training(tmp_path, limit)
    assert state(tmp_path)["global_step"] == batches
    training(tmp_path, "ckpt_path=last")
    assert_the_same(tmp_path, whole)


def test_a_finished_training_resumes_to_its_averaged_weights(whole: Path, tmp_path: Path) -> None:
    """Its checkpoint holds both; what is tested are the averaged ones."""
    cfg = composed(tmp_path, [*TRAINING, "data.num_workers=0", f"ckpt_path={whole}"])
    model = entry.build(cfg.model)
    callbacks = [entry.build(callback) for callback in cfg.callbacks.values()]
    trainer = entry.build(cfg.trainer, callbacks=callbacks, logger=False)
    trainer.fit(model, datamodule=entry.build(cfg.data), ckpt_path=find_checkpoint(str(whole), tmp_path))
    assert_equal(dict(model.state_dict()), dict(state(whole)["state_dict"]))


def test_a_training_gone_wrong_names_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"content/\w+ became \S+ at step [1-9]") as stopped:
        training(tmp_path, "callbacks.checkpoints.every_n_batches=1", "model.optimizer_d.lr=1e9")
    assert stopped.value.__notes__ == [f"The last checkpoint is {tmp_path}/checkpoints/last.ckpt."]


# Which checkpoint


@pytest.fixture
def copies(whole: Path, tmp_path: Path) -> list[Path]:
    """Three checkpoints of a run, the newest first."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    content = (whole / "checkpoints" / "last.ckpt").read_bytes()
    paths = [folder / name for name in ("last.ckpt", "last-1.ckpt", "best.ckpt")]
    for age, path in enumerate(paths):
        path.write_bytes(content)
        os.utime(path, (1000 - age, 1000 - age))
    return paths


def test_the_newest_of_a_folder(copies: list[Path], tmp_path: Path) -> None:
    for place in ("last", str(tmp_path), str(tmp_path / "checkpoints"), str(copies[0])):
        assert find_checkpoint(place, tmp_path) == copies[0]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_one_cut_short_is_passed_over(
    damage: str, copies: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(copies[0].read_bytes())
    content[len(content) // 2] ^= 255
    spoilt = {"cut": content[: len(content) // 2], "empty": b"", "flipped": content}[damage]
    copies[0].write_bytes(spoilt)
    os.utime(copies[0], (2000, 2000))
    assert find_checkpoint("last", tmp_path) == copies[1]
    assert "last.ckpt cannot be read" in caplog.text


def test_nothing_to_resume_from(copies: list[Path], tmp_path: Path) -> None:
    assert find_checkpoint("last", tmp_path / "new") is None
    with pytest.raises(UserError, match=r"no checkpoint .*none\.ckpt"):
        find_checkpoint(str(tmp_path / "none.ckpt"), tmp_path)
    for path in copies:
        path.write_bytes(b"cut")
    with pytest.raises(UserError, match="can be resumed from"):
        find_checkpoint("last", tmp_path)


def test_only_so_many_are_kept(whole: Path, tmp_path: Path) -> None:
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "last-1.ckpt"}
    kept = [whole / "checkpoints" / name for name in ("last-1.ckpt", "last.ckpt")]
    steps = [torch.load(path, weights_only=True)["global_step"] for path in kept]
    assert steps == [12, 14]  # the twelfth batch, the end of the second epoch


def test_the_last_alone_is_kept_unless_more_are_asked_for(tmp_path: Path) -> None:
    training(tmp_path, "callbacks.checkpoints.keep=1", "trainer.max_epochs=1")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert composed(tmp_path, []).callbacks.checkpoints.keep == 1


def test_by_the_clock(tmp_path: Path) -> None:
    callback = Checkpoints(tmp_path, keep=2, every_n_batches=None, every_n_minutes=2)
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    assert not callback._due(trainer)
    callback.saved_at -= 121
    assert callback._due(trainer)


@pytest.mark.parametrize("name", ["keep", "every_n_batches", "every_n_minutes"])
def test_numbers_that_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{name} is 0, but must be above 0"):
        Checkpoints(tmp_path, **{"keep": 2, "every_n_batches": None, "every_n_minutes": None} | {name: 0})
