"""`python -m tests.two_processes FOLDER DEVICES`: an optimiser step of each network; gradients, and weights after it.

Batch norm, whose statistics are those of a process's own part of the batch, is left in eval mode. Every process writes
its masks of the sample data as well: those of one batch, as a training gets them.
"""

import sys
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from inpaint.data.masks import centre_square, free_form
from inpaint.data.sets import Sample
from tests.content.helpers import tiny_discriminator, tiny_gan

BATCH = 8


class Still(pl.Callback):
    """Holds batch norm, and keeps the gradients that each optimiser takes."""

    def __init__(self) -> None:
        self.gradients: list[torch.Tensor] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.gradients.append(torch.cat([parameter.grad.flatten() for parameter in parameters]))

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_) -> None:
        for layer in pl_module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()


class Masks(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Tensor] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["mask"])
        return self.weight.square()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(devices: int, *callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
        callbacks=list(callbacks),
        precision="64-true",  # a discriminator's gradients of real and predicted pictures nearly cancel at first
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main(folder: Path, devices: int) -> None:
    picture = torch.rand(BATCH, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    mask = centre_square((128, 128), torch.Generator(), fraction=0.4375)
    samples = [{"id": str(i), "picture": picture[i], "mask": mask} for i in range(BATCH)]
    rank = 0
    for adversarial in (True, False):
        torch.manual_seed(0)
        fixed = partial(torch.optim.SGD, lr=0.1)
        module = tiny_gan(
            discriminator=tiny_discriminator() if adversarial else None,
            optimizer_g=fixed,
            optimizer_d=fixed,
            lambda_adv=0.5,
            lambda_rec=0.5,
        )
        still = Still()
        run = trainer(devices, still)
        run.fit(module, DataLoader(samples, batch_size=BATCH // devices))
        rank = run.global_rank
        result = {"gradients": still.gradients, "after": module.state_dict()}
        torch.save(result, folder / f"step_{adversarial}_{rank}.pt")
    masks = Masks()
    trainer(devices).fit(masks, train_dataloaders=None, datamodule=sample(seed=0))
    torch.save(masks.seen, folder / f"masks_{rank}.pt")


def sample(seed: int) -> Sample:
    return Sample(
        batch_size=4,
        num_workers=0,
        seed=seed,
        training_size=128,
        test_size=128,
        crop_scale=[0.5, 1],
        in_memory=False,
        training_hole=free_form,
        evaluation_hole=free_form,
        samples_per_epoch=8,
        test_pictures=None,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
