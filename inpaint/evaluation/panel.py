"""The Lightning callback that draws a gallery of validation pictures after every epoch."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.imaging.reading import write_picture


class Panel(pl.Callback):
    """Draws, after every validation, its first `pictures`: input, `pl_module(picture, mask)` and truth side by side.

    Written to `<folder>/panels/epoch_NNN.png` and logged to W&B; the same pictures every time, by the main process.

    Raises:
        UserError: `pictures` is negative or no whole number.
    """

    def __init__(self, folder: str | Path, pictures: int) -> None:
        if not isinstance(pictures, int) or pictures < 0:
            raise UserError(f"callbacks.panel.pictures is {pictures}, but must be a whole number of at least 0.")
        self.folder, self.pictures = Path(folder) / "panels", pictures
        self.batches: list[tuple[Tensor, Tensor]] = []  # pictures and masks, from which the next panel is drawn

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        wanted = self.pictures - sum(len(pictures) for pictures, _ in self.batches)
        if wanted > 0 and trainer.is_global_zero:
            self.batches.append((batch["picture"][:wanted], batch["mask"][:wanted]))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches, self.batches = self.batches, []
        if not batches or trainer.sanity_checking:
            return
        rows = []
        for pictures, masks in batches:
            inputs = pictures * (1 - masks) + masks  # the hole in white, as in the paper's figures
            rows += [list(row) for row in zip(inputs, pl_module(pictures, masks), pictures, strict=True)]
        path = self.folder / f"epoch_{trainer.current_epoch:03d}.png"
        write_picture(gallery(rows, ["input", "prediction", "truth"], side=128), path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("panel", [str(path)], step=trainer.global_step)
