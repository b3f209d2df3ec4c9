"""How far a run is: a bar on a terminal, and elsewhere a line from time to time."""

import logging
import math
import sys
import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar

log = logging.getLogger(__name__)
INTERVAL = 60.0
"""Seconds between two lines, at least."""


def progress_bar() -> ProgressBar:
    """Lightning's bar on a terminal; elsewhere, where it would fill files, lines in the log."""
    return TQDMProgressBar() if sys.stdout.isatty() else ProgressLines()


class ProgressLines(ProgressBar):
    """Logs at most one line a minute: how far the training or test is, its metrics, and how long it still takes."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.began = self.said = time.monotonic()
        self.done_before = 0  # batches, of a training that was resumed

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer.fit_loop.total_batch_idx + 1)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_due():
            every, epochs = self.total_train_batches, trainer.max_epochs
            total = every * epochs if epochs is not None and epochs > 0 else math.inf
            total = min(total, trainer.max_steps) if trainer.max_steps > 0 else total  # both count batches
            metrics = self.get_metrics(trainer, pl_module)
            shown = [f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float)]
            where = f"Epoch {trainer.current_epoch}, batch {batch_idx + 1} of {every}"
            self._say(where, trainer.fit_loop.total_batch_idx + 1, total, shown)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._is_due():
            total = trainer.num_test_batches[dataloader_idx]
            self._say(f"Tested: {batch_idx + 1} of {total} batches", batch_idx + 1, total, [])

    def _begin(self, done: int) -> None:
        self.began = self.said = time.monotonic()
        self.done_before = done

    def _is_due(self) -> bool:
        return self.enabled and time.monotonic() - self.said >= INTERVAL

    def _say(self, where: str, done: int, total: float, metrics: list[str]) -> None:
        self.said = time.monotonic()
        left = (self.said - self.began) / (done - self.done_before) * (total - done)
        ahead = [f"{timedelta(seconds=round(left))} left"] if left < math.inf else []
        log.info(": ".join([where, ", ".join(metrics + ahead)]))
