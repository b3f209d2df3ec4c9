"""Saves a training so that it resumes after a kill or an interruption as if nothing had happened."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from inpaint.errors import Interrupted, UserError
from inpaint.runs.checkpoint_files import FORMAT
from inpaint.runs.csv_log import CSVLog
from inpaint.runs.processes import gather
from inpaint.runs.random_states import random_states, set_random_states

LAST, NEXT = "last.ckpt", "next.ckpt"


class Checkpoints(Checkpoint):
    """Keeps the newest states of a training, and stops it in order when it is told to.

    Saved are, after a batch, what `every_n_batches` and `every_n_minutes` ask for, the end of every epoch, and the
    batch within an epoch at which `trainer.max_steps` or `trainer.max_time` ends the training: `last.ckpt`, before it
    `last-1.ckpt`, and so on, `keep` of them. Each holds all that decides how the training goes on: besides what
    Lightning saves (weights, optimisers, schedulers, averages, progress) the random states of every process and the
    length of the log. On a processor a resumed training is bit by bit the one that was never interrupted. With Adam
    that is three times the weights: 887 MB for the paper's networks.

    A module that is `gathering` gradients of several batches (`inpaint.content.descent.Descent`) is saved after the
    last of them, when they have become a step; one that `max_time` ends before that, as if its epoch ended there.

    A training that was ended and is resumed with a larger limit finishes its epoch, and validates it, as if there had
    been no limit: where no schedule follows the limit, and no group of batches was cut short by it.

    SIGINT (Ctrl-C) and SIGTERM end a training with such a checkpoint after the batch at hand, or after the validation
    at hand, and a test at once; a second one ends everything at once. All raise `Interrupted`.

    Args:
        folder: where the checkpoints are written.
        keep: how many of the newest are kept.
        every_n_batches: how many batches lie between two of them; None: their number does not matter.
        every_n_minutes: how many minutes lie between two of them; None: the time does not matter.

    Raises:
        UserError: a number is not positive; when resuming, the checkpoint comes from another number of processes.
    """

    def __init__(
        self, folder: str | Path, keep: int, every_n_batches: int | None, every_n_minutes: float | None
    ) -> None:
        for name, value in (("keep", keep), ("every_n_batches", every_n_batches), ("every_n_minutes", every_n_minutes)):
            if value is not None and not value > 0:
                raise UserError(f"callbacks.checkpoints.{name} is {value}, but must be above 0.")
        self.folder, self.keep = Path(folder), keep
        self.every_n_batches, self.every_n_minutes = every_n_batches, every_n_minutes
        self.newest: Path | None = None
        self.signal: int | None = None  # that came and asks the training to stop
        self.resumed: dict[str, Any] = {}
        self.row: tuple[int, dict[str, Any]] | None = None  # of the log: a batch's is written after its checkpoint
        self.saved_at = time.monotonic()
        self.saved_batch = -1  # the one after which the newest was saved, counted from the training's first
        self.due = False  # whether a checkpoint only waits for gradients to become a step

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # else, with max_steps, Lightning takes an epoch that is at its end for one in its middle, and counts it twice
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self._handle_signals(trainer)
        for logger in trainer.loggers:
            if isinstance(logger, CSVLog):
                logger.cut(self.resumed.get("rows", 0))
            if self.resumed.get("row"):
                step, metrics = self.resumed["row"]
                logger.log_metrics(metrics, step)
        if "random" in self.resumed:  # last: what was set up before may have drawn numbers
            set_random_states(self.resumed["random"][trainer.global_rank])
        self.resumed = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._handle_signals(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # the end of the epoch is saved after its validation, which a resumed run would skip
            return
        stop = trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)
        self.due = stop or self.due or self._ends(trainer) or self._due(trainer)
        if self.due and not getattr(pl_module, "gathering", False):
            connector = trainer._logger_connector  # `trainer.logged_metrics` would hold older values as well
            if connector.should_update_logs:
                metrics = {name: float(value) for name, value in connector.metrics["log"].items()}
                self.row = trainer.fit_loop.total_batch_idx, metrics | {"epoch": trainer.current_epoch}
            self._save(trainer)
            self.row = None
            if stop:
                raise Interrupted(self.signal or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.saved_batch != trainer.fit_loop.total_batch_idx:  # else it only breaks off here
            self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False):
            raise Interrupted(self.signal or signal.SIGTERM)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        rows = sum(logger.rows for logger in trainer.loggers if isinstance(logger, CSVLog))
        states = gather(random_states())
        checkpoint["inpaint"] = {"format": FORMAT, "random": states, "rows": rows, "row": self.row}

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

    def _ends(self, trainer: pl.Trainer) -> bool:
        """Whether the training ends after this batch, wherever in its epoch that is."""
        stopped = trainer.should_stop and trainer.fit_loop._can_stop_early
        return stopped or 0 < trainer.max_steps <= trainer.global_step

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
        self.saved_at, self.due = time.monotonic(), False
        self.newest, self.saved_batch = self.folder / LAST, trainer.fit_loop.total_batch_idx
        if trainer.is_global_zero:
            names = [LAST, *(f"last-{age}.ckpt" for age in range(1, self.keep))]
            for older, newer in zip(reversed(names), reversed([NEXT, *names[:-1]]), strict=True):
                if (self.folder / newer).exists():
                    os.replace(self.folder / newer, self.folder / older)

    def _handle_signals(self, trainer: pl.Trainer) -> None:
        """Handles SIGINT and SIGTERM from here on; Lightning restores the former handlers when it ends."""

        def handle(number: int, frame: FrameType | None) -> None:
            if trainer.state.fn == TrainerFn.FITTING and self.signal is None:
                self.signal = number
                if trainer.is_global_zero:  # by the file: a print must not be interrupted by another
                    os.write(2, b"\nStopping after this batch, with a checkpoint. Once more stops at once.\n")
                return
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(number)
            raise Interrupted(number)

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, handle)


class Best(ModelCheckpoint):
    """Keeps the weights that were best in validation, in `best.ckpt`: averaged ones where the training averages.

    They are weights alone, to predict with or to start from; a training is resumed from what `Checkpoints` keeps. Those
    of the paper's networks are 296 MB.

    Args:
        folder: where the file is written.
        monitor: what decides, a value that validations log.
        mode: whether it is best where it is least ("min") or greatest ("max").
    """

    def __init__(self, folder: str | Path, monitor: str, mode: Literal["min", "max"]) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            enable_version_counter=False,  # a better one takes the place of the file
        )

    @property
    def state_key(self) -> str:
        """Lightning's own class's, so that a checkpoint of earlier versions still says what was best."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def _save_topk_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        """Leaves it where nothing was validated yet, as when `trainer.max_steps` ends the first epoch early."""
        if self.monitor in monitor_candidates or trainer.fit_loop.epoch_loop.val_loop._has_run:
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # it is there
        averages = [callback for callback in callbacks if isinstance(callback, Averaged)]
        with averages[0].in_place(trainer.lightning_module) if averages else nullcontext():
            super()._save_checkpoint(trainer, filepath)


class Averaged(EMAWeightAveraging):
    """Averages the weights over the training's steps, for validation, checkpoints and what follows the training.

    Lightning's own callback, except that a training resumed after its last batch ends on the averaged weights as well,
    and that batches whose gradients only wait for a step do not count.

    Args:
        decay: how much of the average stays at each step, in [0, 1).

    Raises:
        UserError: the decay is not in [0, 1).
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.averaging.decay is {decay}, but must be at least 0 and below 1.")
        super().__init__(decay=decay)

    @contextmanager
    def in_place(self, pl_module: pl.LightningModule) -> Iterator[None]:
        """Within it the module has the averaged weights."""
        self._swap_models(pl_module)
        try:
            yield
        finally:
            self._swap_models(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._latest_update_step = trainer.global_step  # in earlier versions' checkpoints it counted other steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not getattr(pl_module, "gathering", False):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_end(trainer, pl_module)  # nothing new where that was called already
