"""`python -m inpaint.train` as it is documented, made small only after its configuration was composed and checked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from inpaint.train import __main__ as command
from inpaint.train import job
from inpaint.train import run as entry
from inpaint.train.tree import Arguments

SMALL: dict[str, Any] = {
    "data.batch_size": 2,
    "data.num_workers": 0,
    "data.samples_per_epoch": 2,
    "data.test_pictures": 1,
    "data.test_size": 128,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.sync_batchnorm": False,
    "trainer.max_epochs": 1,
    "trainer.log_every_n_steps": 1,
    "model.preset.rounds": 1,
    "model.preset.iterations": 1,
    "model.preset.voting_rounds": 1,
    "model.preset.scales": 1,
}
NETWORKS = {"generator.filters": 4, "generator.bottleneck": 8, "generator.width": 8, "discriminator.filters": 4}
"""Of a content network that is trained from nothing."""


class Enough(BaseException):
    """Ends a command once as much of it has run as the test wants."""


def sweeps_of_its_own(words: list[str]) -> bool:
    """Whether its experiment alone says what is swept; tests/experiments/test_studies.py runs these to their end."""
    overrides = Arguments.of(words).overrides
    said = any(override.is_sweep_override() or override.key_or_group == "hydra.sweep.dir" for override in overrides)
    return "-m" not in words and "--multirun" not in words and not said


@contextmanager
def small(words: list[str], wandb: bool, runs: bool = True) -> Iterator[None]:
    """Within it a training, and each job of a sweep, is small.

    Args:
        words: of the command.
        wandb: whether a run keeps its logger for W&B.
        runs: False only checks the configuration of a run, or of the first job of a sweep.
    """
    train = entry.train

    def checked(cfg: DictConfig, sweep: Mapping[str, Any] | None = None) -> dict[str, float]:
        entry.check(cfg)
        if not runs or (sweep is not None and sweeps_of_its_own(words)):
            raise Enough
        return train(shrunken(cfg, wandb), sweep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "train", checked)
        patch.setattr(job, "train", checked)
        yield


def shrunken(cfg: DictConfig, wandb: bool) -> DictConfig:
    """Networks, pictures, steps and scales as few as there can be, on a processor."""
    cfg = cfg.copy()
    values = dict(SMALL)
    stage = "model.content" if "content" in cfg.model else "model"
    if OmegaConf.select(cfg, f"{stage}.weights") is None:
        values |= {f"{stage}.{key}": value for key, value in NETWORKS.items()}
    with open_dict(cfg):
        for key, value in values.items():
            parent = OmegaConf.select(cfg, key.rpartition(".")[0])
            if parent is not None and key.rpartition(".")[2] in parent:
                OmegaConf.update(cfg, key, value)
        cfg.trainer.plugins = cfg.trainer.plugins[:1]  # the others are of a cluster
        if "callbacks" in cfg:
            cfg.callbacks.pop("progress", None)
        if not wandb and "logger" in cfg:
            cfg.logger.pop("wandb", None)
    return cfg
