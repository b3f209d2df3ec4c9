"""One run, from a composed configuration to its results: check, build, record, train, test."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from yaml import YAMLError

from inpaint.errors import UserError, first_line
from inpaint.runs import provenance, wandb_log
from inpaint.runs.checkpoint_files import find_checkpoint, read_weights_of
from inpaint.train.sentences import check_trainer
from inpaint.train.types import check_types

log = logging.getLogger(__name__)
say = rank_zero_only(log.info)


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turns what Lightning, OmegaConf and the system say about a wrong setting or a full disk into a UserError."""
    try:
        yield
    except (MisconfigurationException, OmegaConfBaseException) as error:
        raise UserError(first_line(error)) from None
    except OSError as error:
        raise UserError(f"{error.filename or 'A file'}: {error.strerror or error}.") from None
    except Exception as error:
        if "ddp_find_unused_parameters_true" not in str(error):
            raise
        raise UserError(
            "trainer.strategy cannot train two networks in turn: leave it out, or set ddp_find_unused_parameters_true."
        ) from None


@in_one_sentence()
def train(cfg: DictConfig, sweep: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Trains and tests as the configuration says.

    Args:
        cfg: a composed configuration: `data`, `model`, `trainer`, `callbacks`, `logger`, `name`, `seed`, `fit`, `test`,
            `ckpt_path`, `paths.output`.
        sweep: the overrides that tell this job of a sweep from the others, logged as `sweep/...` beside the
            configuration.

    Returns:
        The metrics that the training and the test logged last.

    Raises:
        UserError: for whatever the user can mend.
    """
    check(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    resumed = checkpoint_to_resume(cfg)
    folder = Path(cfg.paths.output)
    if not goes_on(cfg, resumed):
        wandb_log.forget_run(folder)  # what begins anew is another run at W&B as well

    model, data = build(cfg.model), build(cfg.data)
    trained = model.content if "content" in cfg.model else model  # the refinement has no weights of its own
    callbacks = [build(callback) for callback in cfg.get("callbacks", {}).values() if callback]
    loggers = [build(logger) for logger in cfg.get("logger", {}).values() if logger]
    trainer = build(cfg.trainer, callbacks=callbacks, logger=loggers)
    check_what_was_built(cfg, trainer, trained)

    metrics: dict[str, float] = {}
    with wandb_told_the_end(loggers, folder, trained):
        record(cfg, trainer, [model, *callbacks], sweep)
        if cfg.fit:
            trainer.fit(trained, datamodule=data, ckpt_path=resumed, weights_only=True)
            metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        if cfg.fit and cfg.test:
            load_best_weights(trainer, trained)
        if cfg.test:
            trainer.test(model, datamodule=data, verbose=False)
            metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    return metrics


def check(cfg: DictConfig) -> None:
    """Refuses values of a wrong type or out of range that would be noticed late, or in a hundred lines."""
    if isinstance(cfg.name, int | float) and not isinstance(cfg.name, bool):
        cfg.name = str(cfg.name)  # `name=2024` is a number for YAML
    check_types(cfg)
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed is {cfg.seed}, but must be a whole number from 0 to 2^32 - 1.")
    if cfg.ckpt_path is not None and not cfg.fit:
        raise UserError(
            "ckpt_path resumes a training, but fit is false: to test weights, set model.weights, or "
            "model.content.weights with model=refinement."
        )
    if cfg.get("objective") is not None and "/" not in cfg.objective and not cfg.test:
        raise UserError(f"objective is {cfg.objective}, a result of the test, and test is false: set test=true.")
    check_trainer(cfg.trainer, cfg.model)


def checkpoint_to_resume(cfg: DictConfig) -> Path | None:
    """The checkpoint that `ckpt_path` asks for, and a line that says so; None to start from the beginning."""
    if cfg.ckpt_path is None:
        return None
    folder = Path(cfg.paths.output)
    found = find_checkpoint(cfg.ckpt_path, folder)
    say(f"Resuming from {found}" if found else f"No checkpoint in {folder} yet: starting from the beginning")
    return found


def goes_on(cfg: DictConfig, resumed: Path | None) -> bool:
    """Whether a run goes on with the one that its folder has.

    So does a training that is resumed there, and an evaluation by the same weights, data and settings, whether that was
    interrupted or has other measures now.
    """
    folder = Path(cfg.paths.output)
    if cfg.fit:
        return resumed is not None and resumed.resolve().is_relative_to(folder.resolve())
    try:
        earlier = OmegaConf.load(folder / "config.yaml")
    except (OSError, YAMLError, OmegaConfBaseException):
        return False
    decisive = ("callbacks.results.settings", "name", "fit", "test", "trainer.precision")
    here, there = ([OmegaConf.select(each, key) for key in decisive] for each in (cfg, earlier))
    return here == there and here[0] is not None


def build(node: DictConfig, **more: Any) -> Any:
    """Makes what the `_target_` of a node names.

    Raises:
        UserError: the one that was raised inside; or one that names the key, and says why it cannot be built.
    """
    try:
        return instantiate(node, **more)
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
        name = key[1] if key else node.get("_target_") if isinstance(node, DictConfig) else node
        if isinstance(causes[-1], ModuleNotFoundError) and "locating target" in str(error):
            raise UserError(
                f"{name} cannot be built: there is no module {causes[-1].name} for {str(error).split(chr(39))[1]}; the "
                "folder that holds it has to be the working directory, or on PYTHONPATH."
            ) from None
        raise UserError(f"{name} cannot be built: {first_line(causes[-1])}") from None


def check_what_was_built(cfg: DictConfig, trainer: pl.Trainer, trained: pl.LightningModule) -> None:
    """Refuses a training without anything to train, and devices that it cannot have."""
    if cfg.fit and type(trained).training_step is pl.LightningModule.training_step:
        raise UserError(f"{type(trained).__name__} has nothing to train: set fit=false.")
    if (
        str(cfg.trainer.get("precision")) in ("16-mixed", "16", "16-true")
        and trainer.strategy.root_device.type == "cpu"
    ):
        raise UserError(
            f"trainer.precision is {cfg.trainer.precision}, float16, which needs a GPU: leave it out, or set 32-true "
            "or bf16-mixed."
        )
    if cfg.trainer.get("sync_batchnorm") and trainer.strategy.root_device.type == "cpu":
        raise UserError("trainer.sync_batchnorm needs GPUs: set it to false.")
    strategy = str(cfg.trainer.get("strategy"))
    if any(kind in strategy for kind in ("spawn", "fork", "notebook")):  # not all of a run can be pickled or forked
        raise UserError(f"trainer.strategy is {strategy}, but processes cannot be spawned or forked: leave it out.")
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and "MASTER_ADDR" not in os.environ:
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, but nothing says where the other machines are: start the "
            "processes with torchrun or srun, or set MASTER_ADDR and NODE_RANK on each machine."
        )


def record(cfg: DictConfig, trainer: pl.Trainer, parts: Iterable[Any], sweep: Mapping[str, Any] | None) -> None:
    """Writes configuration, versions and hashes of weights into the results, and hands the first to the loggers."""
    if trainer.is_global_zero:
        weights = {name: file for part in parts for name, file in getattr(part, "weight_files", {}).items()}
        provenance.record(cfg.paths.output, OmegaConf.to_yaml(cfg, resolve=True), weights)
    logged = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    for logger in trainer.loggers:
        logger.log_hyperparams(logged | ({"sweep": dict(sweep)} if sweep else {}))


def load_best_weights(trainer: pl.Trainer, trained: pl.LightningModule) -> None:
    """After a training, loads the weights that were best in validation, and says which are tested.

    They are those of `best.ckpt`, averaged ones if the training averages. Without a validation the last ones stay.
    """
    watching = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    path = trainer.strategy.broadcast(watching[0].best_model_path if watching else "")
    if not path or not Path(path).is_file():
        say("Testing the last weights of the training, because no best ones were saved.")
        return
    best = read_weights_of(Path(path))
    trained.load_state_dict(best["state_dict"])
    say(f"Testing the weights of epoch {best['epoch']}, the best by {watching[0].monitor}: {path}")


@contextmanager
def wandb_told_the_end(loggers: Iterable[Logger], folder: Path, trained: pl.LightningModule) -> Iterator[None]:
    """Ends the run at W&B, if there is one: as finished, with its files; after an error or interruption, as failed.

    Files that cannot be sent fail no run: a line says so.
    """
    ours = [logger for logger in loggers if isinstance(logger, wandb_log.Logger)]
    failed = 1
    try:
        yield
        failed = 0
        for logger in ours:
            try:
                logger.log_results(folder, getattr(trained, "save_weights", None))
            except Exception as error:  # whatever W&B or the disk does
                say(f"Not all files of {folder} could be handed to W&B: {first_line(error)}")
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            import wandb

            wandb.finish(exit_code=failed)
