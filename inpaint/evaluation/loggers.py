"""Hands the results of a run to its loggers: the means to all of them, the pictures to Weights & Biases."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import wandb
from pytorch_lightning.loggers import WandbLogger

from inpaint.evaluation.folder import ResultsFolder
from inpaint.evaluation.table import STAGES, Row, flatten_keys, kinds_of, stages_of


def log_results(trainer: pl.Trainer, folder: ResultsFolder, rows: Sequence[Row], means: Mapping[str, Any]) -> None:
    """Logs the means as `content/hole_psnr`, `refinement/hole_psnr` and so on; for W&B, the pictures as well.

    W&B gets a table of all pictures with their measures, `results`, and the gallery, `gallery`.
    """
    scalars = {f"{STAGES[s]}/{name}": value for s in stages_of(means) for name, value in flatten_keys(means[s]).items()}
    scalars["seconds_per_picture"] = means["seconds_per_picture"]
    kinds, measures = kinds_of(rows[0]), [name for name in flatten_keys(rows[0]) if name != "id"]
    for logger in trainer.loggers:
        logger.log_metrics(scalars, step=trainer.global_step)
        if isinstance(logger, WandbLogger):
            lines = []
            for row in rows:
                images = [wandb.Image(str(folder.picture(row["id"], kind))) for kind in kinds]
                lines.append([row["id"], *images, *(flatten_keys(row)[name] for name in measures)])
            with _staging_in(folder.path):
                logger.log_table("results", ["id", *kinds, *measures], lines, step=trainer.global_step)
            logger.log_image("gallery", [str(folder.path / "gallery.png")], step=trainer.global_step)


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Keeps a table's pictures beside the run: W&B would leave an offline run's in the user's home for good."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder / "wandb")
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]
