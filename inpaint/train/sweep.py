"""Hydra's callback at the end of a sweep: has its jobs compared, whatever launcher ran them."""

import copy
import traceback
from pathlib import Path
from typing import Any

import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from inpaint.errors import UserError
from inpaint.evaluation.comparison import SUMMARY_MEASURES, compare, shortcomings
from inpaint.runs.wandb_log import wandb_logger


class Comparison(Callback):
    """Writes `summary.json`, `summary.md` and `summary.png` into the sweep's folder, the last line printed.

    With `logger=wandb` they are also a run of their own, in the group of the jobs. A sweep with a job that failed ends
    with exit code 1, and says which.

    Args:
        pictures, closeups, worst: how the jobs are shown beside each other, see `compare`.
    """

    def __init__(self, pictures: int, closeups: bool, worst: bool) -> None:
        self.options: dict[str, Any] = {"pictures": pictures, "closeups": closeups, "worst": worst}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(copy.deepcopy(config))  # the folder may be named after `hydra:` values

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        try:
            summary = compare(folder, **self.options)
        except (UserError, OSError) as error:
            raise SystemExit(f"error: {error}") from None
        except Exception:  # Hydra would make a warning of it, and end with 0
            traceback.print_exc()
            raise SystemExit(1) from None
        if "wandb" in config.logger and summary["rows"]:
            log_to_wandb(folder, summary, config.logger.wandb.project)
        for line in shortcomings(summary):
            print(line)
        print(folder)
        if shortcomings(summary):
            raise SystemExit(1)


def log_to_wandb(folder: Path, summary: dict[str, Any], project: str) -> None:
    """Logs the comparison as a W&B run: its picture, and a table of the means."""
    name = summary["name"]
    logger = wandb_logger(folder, project, name=f"{name} comparison", group=name, job_type="comparison")
    try:
        rows = [
            [row["label"], *(row["measures"].get(key, {}).get("mean") for key in SUMMARY_MEASURES)]
            for row in summary["rows"]
        ]
        logger.log_table("comparison", ["job", *SUMMARY_MEASURES], rows)
        if summary["shown"]:
            logger.log_image("comparison picture", [str(folder / "summary.png")])
    finally:
        wandb.finish()
