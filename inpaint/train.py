"""`python -m inpaint.train`: composes the configuration, builds what it names, trains, tests, and says where it wrote.

The only reader of Hydra. It knows no model: everything is built from the `_target_`s of the configuration.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from inpaint import provenance
from inpaint.configuration import CONF
from inpaint.errors import UserError


def train(cfg: DictConfig) -> dict[str, float]:
    """Runs one job.

    Args:
        cfg: a composed configuration: `data`, `model`, `trainer`, `callbacks`, `logger`, `name`, `seed`, `fit`, `test`,
            `ckpt_path`, `paths.output`.

    Returns:
        The metrics that the trainer's steps logged last.

    Raises:
        UserError: for whatever the user can mend.
    """
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.ckpt_path is not None and not cfg.fit:
        raise UserError(
            "ckpt_path resumes a training, and fit is false: name weights to test as model.weights, or "
            "model.content.weights with model=refinement."
        )
    if cfg.ckpt_path is not None and not Path(cfg.ckpt_path).is_file():
        raise UserError(f"There is no checkpoint {cfg.ckpt_path} to resume from: give ckpt_path=FILE, or leave it out.")
    folder = Path(cfg.paths.output)
    loggers: list[Any] = []
    done = False
    try:
        model, data = build(cfg.model), build(cfg.data)
        stage1 = model.content if "content" in cfg.model else model  # what is trained: the refinement has no weights
        callbacks = [build(callback) for callback in cfg.callbacks.values() if callback]
        loggers = [build(logger) for logger in cfg.logger.values() if logger]
        trainer = build(cfg.trainer, callbacks=callbacks, logger=loggers)
        if trainer.is_global_zero:
            weights = getattr(model, "weight_files", {})
            provenance.record(folder, OmegaConf.to_yaml(cfg, resolve=True), weights)
        for logger in loggers:
            logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))

        metrics: dict[str, float] = {}
        if cfg.fit:
            trainer.fit(stage1, datamodule=data, ckpt_path=cfg.ckpt_path, weights_only=True)
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


def build(node: DictConfig, **extra: Any) -> Any:
    """`instantiate`, but a user's mistake comes out as itself."""
    try:
        return instantiate(node, **extra)
    except hydra.errors.InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        raise


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(cfg: DictConfig) -> float | None:
    os.environ["INPAINT_COMPOSED"] = "1"
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    try:
        train(cfg)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the one the other
        print("Interrupted; to go on with the training: ckpt_path=<the folder below>/checkpoints/last.ckpt")
        print(cfg.paths.output)
        raise SystemExit(130) from None
    print(cfg.paths.output)
    return None


def main() -> None:
    try:
        job()
    except SystemExit as stop:
        # Hydra ends with 1 when the command line names what is not there; that is bad usage
        raise SystemExit(2 if stop.code == 1 and "INPAINT_COMPOSED" not in os.environ else stop.code) from None


if __name__ == "__main__":
    main()
