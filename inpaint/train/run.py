"""One run: builds what the configuration names, trains, tests, and records what made the results."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from inpaint.errors import UserError, first_line
from inpaint.runs import checkpoints, provenance

log = logging.getLogger(__name__)
ABSENT = object()
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "name": ((str, int, float), "text"),
    "fit": ((bool,), "true or false"),
    "test": ((bool,), "true or false"),
    "seed": ((int,), "a whole number from 0 to 2^32 - 1"),
    "ckpt_path": ((str, type(None)), "a file, a folder or last"),
    "paths.output": ((str,), "a folder"),
    "trainer.max_epochs": ((int, type(None)), "a whole number"),
    "trainer.log_every_n_steps": ((int, type(None)), "a whole number"),
    "trainer.num_sanity_val_steps": ((int, type(None)), "a whole number"),
    "callbacks.best.filename": ((str, type(None)), "text"),
    "callbacks.results.name": ((str, int, float), "text"),
    "logger.csv.name": ((str,), "text"),
}
"""What the values of some keys have to be, and how that is said."""


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """What Lightning, OmegaConf and the system say about a wrong setting, a full disk and the like, as a UserError."""
    try:
        yield
    except (MisconfigurationException, OmegaConfBaseException) as error:
        raise UserError(first_line(error)) from None
    except OSError as error:
        raise UserError(f"{error.filename or 'A file'}: {error.strerror or error}.") from None


@in_one_sentence()
def train(cfg: DictConfig, sweep: dict[str, Any] | None = None) -> dict[str, float]:
    """Runs one job.

    Args:
        cfg: a composed configuration: `data`, `model`, `trainer`, `callbacks`, `logger`, `name`, `seed`, `fit`, `test`,
            `ckpt_path`, `paths.output`.
        sweep: what tells this job of a sweep from the others, logged as `sweep/...` beside the configuration.

    Returns:
        The metrics that the trainer's steps logged last.

    Raises:
        UserError: for whatever the user can mend.
    """
    check_kinds(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.ckpt_path is not None and not cfg.fit:
        raise UserError(
            "ckpt_path resumes a training, and fit is false: name weights to test as model.weights, or "
            "model.content.weights with model=refinement."
        )
    folder = Path(cfg.paths.output)
    resumed = None if cfg.ckpt_path is None else checkpoints.find(cfg.ckpt_path, folder)
    if cfg.ckpt_path is not None:
        say = rank_zero_only(print)
        say(f"Resuming from {resumed}" if resumed else f"No checkpoint in {folder} yet: starting from the beginning")
    loggers: list[Any] = []
    done = False
    try:
        model, data = build(cfg.model), build(cfg.data)
        stage1 = model.content if "content" in cfg.model else model  # what is trained: the refinement has no weights
        if cfg.fit and type(stage1).training_step is pl.LightningModule.training_step:
            raise UserError(f"{type(stage1).__name__} has nothing to train: set fit=false.")
        callbacks = [build(callback) for callback in cfg.callbacks.values() if callback]
        loggers = [build(logger) for logger in cfg.logger.values() if logger]
        trainer = build(cfg.trainer, callbacks=callbacks, logger=loggers)
        if cfg.trainer.get("sync_batchnorm") and trainer.strategy.root_device.type == "cpu":
            raise UserError("trainer.sync_batchnorm needs GPUs: set it to false.")
        if trainer.is_global_zero:
            weights = {k: v for part in (model, *callbacks) for k, v in getattr(part, "weight_files", {}).items()}
            provenance.record(folder, OmegaConf.to_yaml(cfg, resolve=True), weights)
        logged = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)) | ({"sweep": sweep} if sweep else {})
        for logger in loggers:
            logger.log_hyperparams(logged)

        metrics: dict[str, float] = {}
        if cfg.fit:
            trainer.fit(stage1, datamodule=data, ckpt_path=resumed, weights_only=True)
            metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        if cfg.test and not trainer.interrupted:
            trainer.test(model, datamodule=data, verbose=False)
            metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        done = not trainer.interrupted
        return metrics
    finally:
        for logger in loggers:
            if isinstance(logger, pl.loggers.WandbLogger):
                import wandb

                wandb.finish(exit_code=0 if done else 1)


def check_kinds(cfg: DictConfig) -> None:
    """Refuses what Lightning would notice too late, in the middle of a run. What is absent is nobody's mistake."""
    for key, (kind, meaning) in KINDS.items():
        value = OmegaConf.select(cfg, key, default=ABSENT)
        if value is not ABSENT and not isinstance(value, kind):
            raise UserError(f"{key} is {value!r}: it must be {meaning}.")
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed is {cfg.seed!r}: it must be a whole number from 0 to 2^32 - 1.")


def build(node: DictConfig, **extra: Any) -> Any:
    """`instantiate`, but a user's mistake comes out as itself, and any other error names what could not be built."""
    try:
        return instantiate(node, **extra)
    except (InstantiationException, TypeError) as error:  # what is built raises the first, Hydra itself both
        causes: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        log.debug("", exc_info=error)  # hydra.verbose=true shows it
        key = re.search(r"full_key: (\S+)", str(error))
        raise UserError(f"{key[1] if key else node._target_} cannot be built: {first_line(causes[-1])}") from None
