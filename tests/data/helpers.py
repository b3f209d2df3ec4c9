"""Small folders of pictures, and a Lightning module that keeps the batches it is given."""

from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch

from inpaint.data.masks import centre_square
from inpaint.imaging.reading import write_picture

COMMON = {
    "batch_size": 4,
    "num_workers": 0,
    "seed": 7,
    "training_size": 16,
    "test_size": 32,
    "crop_scale": (0.4, 1.0),
    "in_memory": False,
    "training_hole": partial(centre_square, fraction=0.5),
    "evaluation_hole": partial(centre_square, fraction=0.5),
    "samples_per_epoch": None,
    "test_pictures": None,
}
"""What all data modules take."""


def make_pictures(folder: Path, names: list[str], side: int = 24) -> None:
    """Noise, another for each name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = torch.rand(3, side, side + 4, generator=torch.Generator().manual_seed(number))
        beside = folder / name
        write_picture(noise, beside.with_suffix(".png"))
        beside.with_suffix(".png").rename(beside)


def make_unreadable(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no picture")


class Recorder(pl.LightningModule):
    """Keeps the ids and pictures of every batch; learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = {"train": [], "val": [], "test": []}

    def training_step(self, batch, index):
        self.seen["train"].append(batch)
        return self.weight * batch["picture"].mean()

    def validation_step(self, batch, index):
        self.seen["val"].append(batch)

    def test_step(self, batch, index):
        self.seen["test"].append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder: Path, **options) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(accelerator="cpu", devices=1, default_root_dir=folder, max_epochs=1, **quiet, **options)
