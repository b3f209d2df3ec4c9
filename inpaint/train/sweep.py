"""Hydra's callback around a sweep, which has its jobs compared, whatever launcher ran them."""

import copy
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from inpaint.errors import UserError
from inpaint.evaluation.comparison import compare, comparison_table, shortcomings
from inpaint.train.names import SWEEP, group_of, swept_overrides
from inpaint.train.objective import check_direction

SUMMARY = ("summary.json", "summary.md", "summary.png", SWEEP)


class Comparison(Callback):
    """Seeds a sampler (Optuna's) that has no seed of its own by that of the runs, and compares the jobs at the end.

    Writes `summary.json`, `summary.md` and `summary.png` into the sweep's folder, the last line printed.

    With `logger=wandb` they are also a run of their own, in the group of the jobs. A sweep with a job that failed ends
    with exit code 1, and says which.

    Args:
        pictures, closeups, worst: how the jobs are shown beside each other, see `compare`.
    """

    def __init__(self, pictures: int, closeups: bool, worst: bool) -> None:
        self.options: dict[str, Any] = {"pictures": pictures, "closeups": closeups, "worst": worst}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if "wandb" in config.get("logger", {}) and config.logger.wandb.get("id") is not None:
            refuse("logger.wandb.id would put all jobs of the sweep into one W&B run: leave it out.")
        HydraConfig.instance().set_config(copy.deepcopy(config))  # the folder may be named after `hydra:` values
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, folder / SWEEP)  # Hydra's own sweeper does, Optuna's does not
        sampler = config.hydra.sweeper.get("sampler")
        if sampler is None:
            return
        if config.objective is None:
            refuse("This sweeper needs an objective, such as objective=refined.perceptual.")
        direction = config.hydra.sweeper.get("direction")
        try:
            check_direction(str(config.objective), str(getattr(direction, "name", direction)))
        except UserError as error:
            refuse(str(error))
        if "seed" in sampler and sampler.seed is None:  # so that the same command asks for the same, and so goes on
            with read_write(config.hydra), open_dict(config.hydra):
                config.hydra.sweeper.sampler.seed = config.seed

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        try:
            summary = compare(folder, **self.options)
        except (UserError, OSError) as error:
            raise SystemExit(f"error: {error}") from None
        except Exception:  # Hydra would make a warning of it, and end with 0
            traceback.print_exc()
            raise SystemExit(1) from None
        if "wandb" in config.get("logger", {}) and summary["rows"]:
            log_to_wandb(folder, summary, config)
        for line in shortcomings(summary):
            print(line)
        print(folder)
        if shortcomings(summary):
            raise SystemExit(1)


def refuse(sentence: str) -> NoReturn:
    """Ends the command as bad usage; Hydra would make a warning of an exception in a callback."""
    print("error:", sentence, file=sys.stderr)
    raise SystemExit(2)


def log_to_wandb(folder: Path, summary: dict[str, Any], config: DictConfig) -> None:
    """Logs the comparison as a W&B run of its own: its picture, its files, a table of means and differences."""
    import wandb

    cfg = copy.deepcopy(config)
    OmegaConf.set_struct(cfg, False)
    cfg.paths = {"output": str(folder)}
    cfg.name = name = summary["name"]
    own = {"name": f"{name} comparison", "group": group_of(name, folder), "job_type": "comparison"}
    cfg.logger.wandb.update({**own, "save_dir": str(folder), "id": None, "resume": None})
    logger = instantiate(cfg.logger.wandb)
    swept = {key: value for key, _, value in (word.partition("=") for word in swept_overrides(folder))}
    del cfg["hydra"]
    try:
        try:
            plain: Any = OmegaConf.to_container(cfg, resolve=True)
        except OmegaConfBaseException:  # what only a job can resolve
            plain = OmegaConf.to_container(cfg, resolve=False)
        logger.log_hyperparams(plain | {"sweep": swept})
        columns, rows = comparison_table(summary)
        logger.log_table("comparison", columns, rows)
        if summary["shown"]:
            logger.log_image("comparison picture", [str(folder / "summary.png")])
        logger.log_files("comparison", "results", [folder / name for name in SUMMARY])
    finally:
        wandb.finish()
