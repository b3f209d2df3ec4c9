"""Content networks of test size: every argument that the configuration would give, small."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from inpaint.content.module import ContentGAN
from inpaint.content.networks import ContextEncoder, Discriminator

PAPER = {
    "filters": 4,
    "bottleneck": 8,
    "middle": "fully_connected",
    "encoder_activation": "elu",
    "decoder_activation": "elu",
    "residual": False,
    "perceptual": False,
}


def tiny_generator(**changes: Any) -> ContextEncoder:
    """The paper's generator, 4 filters wide, but for the changes."""
    return ContextEncoder(**(PAPER | changes))


def tiny_discriminator(activation: str = "elu") -> Discriminator:
    return Discriminator(filters=4, activation=activation)


def tiny_gan(**changes: Any) -> ContentGAN:
    """A content GAN without a discriminator, but for the changes; `generator` may be arguments of `tiny_generator`."""
    adam = partial(torch.optim.Adam, betas=(0.5, 0.999))
    generator = changes.pop("generator", {})
    arguments = {
        "generator": tiny_generator(**generator) if isinstance(generator, dict) else generator,
        "discriminator": None,
        "optimizer_g": partial(adam, lr=2e-3),
        "optimizer_d": partial(adam, lr=2e-4),
        "scheduler": None,
        "lambda_rec": 0.999,
        "lambda_adv": 0.001,
        "losses": {},
        "warm_up": 0,
        "accumulate_batches": 1,
        "clip_norm": None,
        "ring_weight": 10.0,
        "mean_colour": (0.485, 0.456, 0.406),
        "weights": None,
    }
    return ContentGAN(**(arguments | changes))


def save_checkpoint(module: ContentGAN, path: Path) -> Path:
    """What of a training's checkpoint is about its networks."""
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path
