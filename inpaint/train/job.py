"""Runs one job of a sweep: not if it has finished before, and so that its failure ends no other."""

import logging
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from inpaint.errors import UserError, first_line
from inpaint.runs import records
from inpaint.runs.processes import is_one_device
from inpaint.train.run import train

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig, hydra: HydraConf) -> None:
    """Runs the job unless its folder says that it has finished, and keeps a record of what became of it there.

    Args:
        cfg: the job's configuration. A training that was cut short is resumed.
        hydra: Hydra's own configuration of the job.
    """
    folder, config = Path(cfg.paths.output), OmegaConf.to_yaml(cfg, resolve=True)
    before = records.state(folder, config)
    record = partial(records.write, folder, hydra.overrides.task, config)
    if before == "finished":
        record("finished")  # by these overrides, too: two studies may share a job
        log.info("Finished before, so not run again; delete its folder to do so:")
        return
    if before is None:  # what another configuration left here is nothing to resume from, or to compare
        for stale in (*folder.glob("checkpoints/*.ckpt"), folder / "metrics.csv", folder / "metrics.json"):
            stale.unlink(missing_ok=True)
    elif cfg.fit and cfg.ckpt_path is None:
        cfg.ckpt_path = "last"
    record("begun")
    try:
        if not is_one_device(cfg.trainer.devices):
            raise UserError(
                f"trainer.devices is {cfg.trainer.devices}, but each job of a sweep runs on one: set "
                "trainer.devices=1, and spread the jobs with hydra/launcher=joblib."
            )
        train(cfg, overrides_by_key(hydra))
    except UserError as error:
        print_error(error)
        record("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        record("failed", f"{type(error).__name__}: {first_line(error)}")
    else:
        record("finished")


def overrides_by_key(hydra: HydraConf) -> dict[str, Any]:
    """The overrides of a job of a sweep, with their types, by key; none for a single run."""
    if hydra.mode != RunMode.MULTIRUN:
        return {}
    overrides = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    return {override.get_key_element().lstrip("+"): override.value() for override in overrides}


def print_error(error: UserError) -> None:
    """Prints the sentence of a user's mistake, and what was noted with it, as one line on stderr."""
    print("error:", error, *getattr(error, "__notes__", []), file=sys.stderr)
