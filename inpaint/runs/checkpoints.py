"""Checkpoints that a killed or interrupted training resumes from as if nothing had happened."""

import logging
import os
import random
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EMAWeightAveraging
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.trainer.states import TrainerFn

from inpaint.errors import Interrupted, UserError, first_line
from inpaint.files import atomic, read_weights
from inpaint.runs.csv_log import CSVLog
from inpaint.runs.processes import gather

log = logging.getLogger(__name__)
FORMAT = 1
"""Of what this module adds to a checkpoint, under "inpaint". A reader refuses a later one than its own."""
LAST, NEXT = "last.ckpt", "next.ckpt"


class AtomicIO(TorchCheckpointIO):
    """Writes every checkpoint beside its place and renames it; reads only tensors and plain values.

    A name therefore always stands for a whole file, whatever happens while the next one is written, and nothing in a
    file can name code to run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(path) as beside, beside.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # its writer's, for a file that takes no more
                raise OSError(f"the disk may be full ({first_line(error)})") from None
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read(Path(path))


class Checkpoints(Checkpoint):
    """Keeps the newest states of a training, and stops it in order when it is told to.

    Saved are, after a batch, what `every_n_batches` and `every_n_minutes` ask for, and the end of every epoch:
    `last.ckpt`, before it `last-1.ckpt`, and so on, `keep` of them. Each holds all that decides how the training goes
    on: besides what Lightning saves (weights, optimisers, schedulers, averages, progress) the random states of
    every process and the length of the log. On a processor a resumed training is bit by bit the one that was never
    interrupted.

    SIGINT (Ctrl-C) and SIGTERM end a training with a checkpoint after the batch at hand, or after the validation at
    hand, and a test or prediction at once; a second one ends everything at once. All raise `Interrupted`.

    Args:
        folder: of the checkpoints.
        keep: how many of the newest.
        every_n_batches: None: not by their number.
        every_n_minutes: None: not by the clock.

    Raises:
        UserError: a number is not positive; when resuming, the checkpoint comes from another number of processes.
    """

    def __init__(
        self,
        folder: str | Path,
        keep: int = 2,
        every_n_batches: int | None = None,
        every_n_minutes: float | None = 10,
    ) -> None:
        for name, value in (("keep", keep), ("every_n_batches", every_n_batches), ("every_n_minutes", every_n_minutes)):
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise UserError(f"callbacks.checkpoints.{name} is {value!r}, but must be above 0.")
        if not isinstance(keep, int) or not isinstance(every_n_batches or 1, int):
            raise UserError("callbacks.checkpoints.keep and every_n_batches must be whole numbers.")
        self.folder, self.keep = Path(folder), keep
        self.every_n_batches, self.every_n_minutes = every_n_batches, every_n_minutes
        self.newest: Path | None = None
        self.stop: int | None = None  # the signal that came
        self.resumed: dict[str, Any] = {}
        self.row: tuple[int, dict[str, Any]] | None = None  # of the log: a batch's is written after its checkpoint
        self.saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self._listen(trainer)
        for logger in trainer.loggers:
            if isinstance(logger, CSVLog):
                logger.cut(self.resumed.get("rows", 0))
            if self.resumed.get("row"):
                step, metrics = self.resumed["row"]
                logger.log_metrics(metrics, step)
        if "random" in self.resumed:  # last: what was set up before may have drawn numbers
            set_random_state(self.resumed["random"][trainer.global_rank])
        self.resumed = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    on_predict_start = on_test_start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # the end of the epoch is saved after its validation, which a resumed run would skip
            return
        stop = trainer.strategy.reduce_boolean_decision(self.stop is not None, all=False)
        if stop or self._due(trainer):
            connector = trainer._logger_connector
            if connector.should_update_logs:
                metrics = {name: float(value) for name, value in connector.metrics["log"].items()}
                self.row = trainer.fit_loop.total_batch_idx, metrics | {"epoch": trainer.current_epoch}
            self._save(trainer)
            self.row = None
        if stop:
            raise Interrupted(self.stop or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(self.stop is not None, all=False):
            raise Interrupted(self.stop or signal.SIGTERM)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        rows = sum(logger.rows for logger in trainer.loggers if isinstance(logger, CSVLog))
        random_states = gather(random_state())
        checkpoint["inpaint"] = {"format": FORMAT, "random": random_states, "rows": rows, "row": self.row}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.resumed = checkpoint.get("inpaint", {})
        processes = len(self.resumed.get("random", [])) or trainer.world_size
        if processes != trainer.world_size:
            raise UserError(
                f"{trainer.ckpt_path} was written by {processes} processes, and this run has {trainer.world_size}: "
                "resume it with as many devices, or start from its weights alone, with model.weights."
            )

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, UserError) and self.newest is not None:
            exception.add_note(f"The last checkpoint is {self.newest}.")

    def _due(self, trainer: pl.Trainer) -> bool:
        if self.every_n_batches and (trainer.fit_loop.total_batch_idx + 1) % self.every_n_batches == 0:
            return True
        if not self.every_n_minutes:
            return False
        late = time.monotonic() - self.saved_at >= 60 * self.every_n_minutes
        return bool(trainer.strategy.broadcast(late)) if trainer.world_size > 1 else late

    def _save(self, trainer: pl.Trainer) -> None:
        """Writes `next.ckpt`, and only when that is there moves the older ones along."""
        trainer.save_checkpoint(self.folder / NEXT)
        self.saved_at = time.monotonic()
        self.newest = self.folder / LAST
        if trainer.is_global_zero:
            names = [LAST, *(f"last-{age}.ckpt" for age in range(1, self.keep))]
            for older, newer in zip(reversed(names), reversed([NEXT, *names[:-1]]), strict=True):
                if (self.folder / newer).exists():
                    os.replace(self.folder / newer, self.folder / older)

    def _listen(self, trainer: pl.Trainer) -> None:
        """In place of Lightning's handlers, which its end brings back."""

        def told(number: int, frame: FrameType | None) -> None:
            if trainer.state.fn == TrainerFn.FITTING and self.stop is None:
                self.stop = number
                if trainer.is_global_zero:  # by the file: a print must not be interrupted by another
                    os.write(2, b"\nStopping after this batch, with a checkpoint. Once more stops at once.\n")
                return
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(number)
            raise Interrupted(number)

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, told)


class Averaged(EMAWeightAveraging):
    """Lightning's, except that a training resumed after its last batch ends on the averaged weights as well.

    Raises:
        UserError: the decay is not in [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.averaging.decay is {decay}, but must be at least 0 and below 1.")
        super().__init__(decay=decay)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_end(trainer, pl_module)  # nothing new where that was called already


def find(ckpt_path: str, folder: Path) -> Path | None:
    """The checkpoint to resume from.

    Args:
        ckpt_path: a file; a folder, of a run or of its checkpoints: the newest whole one in it; or "last": the
            same of this run's own folder, None while there is none.
        folder: this run's.

    Raises:
        UserError: there is no such file or folder, or none in it can be read.
    """
    place = folder if ckpt_path == "last" else Path(ckpt_path)
    if place.is_file():
        return place
    if ckpt_path != "last" and not place.is_dir():
        raise UserError(
            f"There is no checkpoint {place} to resume from: give ckpt_path=FILE or FOLDER, or leave it out."
        )
    files = [*place.glob("*.ckpt"), *place.glob("checkpoints/*.ckpt")]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            read(path)
        except UserError as error:
            log.warning("%s Looking for the one before.", error)
        else:
            return path
    if ckpt_path == "last" and not files:
        return None
    raise UserError(f"No checkpoint in {place} can be resumed from: give another folder, or leave ckpt_path out.")


def read(path: Path) -> dict[str, Any]:
    """All of a training's checkpoint; nothing in it can name code to run.

    Raises:
        UserError: the file cannot be read, is cut short, is no training's checkpoint, or is a later version's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the check sums
                raise ValueError(f"{damaged} in it is damaged")
    except Exception as error:  # a damaged file makes it raise almost anything
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {first_line(error)}.") from None
    checkpoint = read_weights(path)
    wanted = {"state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "pytorch-lightning_version"}
    if not isinstance(checkpoint, dict) or not wanted <= checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of a training, and cannot be resumed from.")
    found = checkpoint.get("inpaint", {}).get("format", 0)
    if found > FORMAT:
        raise UserError(f"{path} was written by a later version of this program: update it to resume from there.")
    return checkpoint


def random_state() -> dict[str, Any]:
    """The global random generators of this process, as tensors and plain values."""
    kind, keys, *rest = cast(tuple[Any, ...], np.random.get_state())  # noqa: NPY002 - the global one is what is meant
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Takes the generators back to what `random_state` returned."""
    kind, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
