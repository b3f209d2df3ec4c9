"""A callback for tests: a signal at a chosen moment of a run, from outside as far as the run can tell."""

import os
import time
from typing import Any

import pytorch_lightning as pl


class Signal(pl.Callback):
    """Sends `number` to the process, and with `group` to its workers as well.

    When: `at` "train" or "validation", at the end of training batch `batch`, or during the validation that follows it;
    at "test", before test batch `batch`. Batches count from 0, over epochs. Of several processes it is the one
    with this `rank`.
    """

    def __init__(self, number: int, batch: int, at: str = "train", group: bool = False, rank: int = 0) -> None:
        self.number, self.batch, self.at, self.group, self.rank = number, batch, at, group, rank

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._send(trainer, "train", trainer.fit_loop.total_batch_idx)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._send(trainer, "validation", trainer.fit_loop.total_batch_idx)

    def on_test_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        self._send(trainer, "test", batch_idx)

    def _send(self, trainer: pl.Trainer, at: str, batch: int) -> None:
        if (at, batch, trainer.global_rank) == (self.at, self.batch, self.rank):
            (os.killpg if self.group else os.kill)(os.getpgrp() if self.group else os.getpid(), self.number)


class Hang(pl.Callback):
    """The first process waits for a minute, as it does for what no other one sends."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            time.sleep(60)
