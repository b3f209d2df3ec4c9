"""`python -m inpaint.train`: composes the configuration, builds what it names, trains, tests, and says where it wrote.

The only reader of Hydra. It knows no model: everything is built from the `_target_`s of the configuration.
"""

import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
import pytorch_lightning as pl
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from inpaint import checkpoints, jobs, processes, provenance
from inpaint.configuration import CONF
from inpaint.errors import Interrupted, UserError, first_line

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


def again(cfg: DictConfig) -> str:
    """The command that goes on with this job, or with its sweep, in its own folder."""
    own = HydraConfig.get()
    if own.mode == RunMode.MULTIRUN:
        kept, key, folder, resume = sys.argv[1:], "hydra.sweep.dir", str(own.sweep.dir), []
    else:
        kept, key, folder = list(own.overrides.task), "hydra.run.dir", str(cfg.paths.output)
        resume = ["ckpt_path=last"] if cfg.fit else []
    kept = [value for value in kept if not value.startswith(("ckpt_path=", f"{key}="))]
    quoted = f"'{folder}'" if re.search(r"[^\w./-]", folder) else folder  # for Hydra, before the shell
    return shlex.join(["python", "-m", "inpaint.train", *kept, f"{key}={quoted}", *resume])


def swept(run: HydraConf) -> dict[str, Any]:
    """The overrides of this job, by key, if it is one of a sweep's (`run` is Hydra's own configuration)."""
    if run.mode != RunMode.MULTIRUN:
        return {}
    overrides = OverridesParser.create().parse_overrides(list(run.overrides.task))
    return {override.get_key_element().lstrip("+"): override.value() for override in overrides}


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(cfg: DictConfig) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    another = f"error: Another process of this run has ended; it says above why. To go on: {again(cfg)}"
    processes.end_with_the_first()
    processes.EndWithAnother(another)
    own = HydraConfig.get()
    say = rank_zero_only(print)
    try:
        if own.mode == RunMode.MULTIRUN:
            one_of_many(cfg, own)
        else:
            train(cfg)
    except UserError as error:
        complain(error)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as stop:
        say(f"Interrupted; to go on: {again(cfg)}")
        say(cfg.paths.output)
        # of several processes, the first one speaks: it would take any other code of another's for a crash
        code = stop.code if isinstance(stop, Interrupted) else 130
        raise SystemExit(code if getattr(rank_zero_only, "rank", 0) == 0 else 0) from None
    except Exception as error:
        if not processes.lost_another(error):
            raise
        print(another, file=sys.stderr)
        raise SystemExit(1) from None
    say(cfg.paths.output)


def one_of_many(cfg: DictConfig, own: HydraConf) -> None:
    """One job of a sweep: a failure ends it alone, and its record names it; what has finished is not run again."""
    folder, config = Path(cfg.paths.output), OmegaConf.to_yaml(cfg, resolve=True)
    before = jobs.state(folder, config)
    record = partial(jobs.write, folder, own.overrides.task, config)
    if before == "finished":
        record("finished")  # by these overrides, too: two studies may share a job
        print("Finished before, so not run again; delete its folder to do so:")
        return
    if before is None:  # what another configuration left here is nothing to resume from, or to compare
        for stale in (*folder.glob("checkpoints/*.ckpt"), folder / "metrics.csv", folder / "metrics.json"):
            stale.unlink(missing_ok=True)
    elif cfg.fit and cfg.ckpt_path is None:
        cfg.ckpt_path = "last"
    record("begun")
    try:
        devices = cfg.trainer.devices
        if devices != 1 and not (isinstance(devices, ListConfig) and len(devices) == 1):
            raise UserError(
                f"trainer.devices is {devices}, but each job of a sweep runs on one: set "
                "trainer.devices=1, and spread the jobs with hydra/launcher=joblib."
            )
        train(cfg, swept(own))
    except UserError as error:
        complain(error)
        record("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        record("failed", f"{type(error).__name__}: {first_line(error)}")
    else:
        record("finished")


def complain(error: UserError) -> None:
    print("error:", error, *getattr(error, "__notes__", []), file=sys.stderr)


def main() -> None:
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or Hydra prints a traceback of its own, and ends with 1
    try:
        job()
    except (HydraException, OmegaConfBaseException, OSError) as error:
        print("error:", re.sub(r"\nTo append.*", "; --cfg job prints what there is", str(error)), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
