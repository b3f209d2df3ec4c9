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
from inpaint.runs.wandb_log import RUN_ID
from inpaint.train.names import name_job
from inpaint.train.objective import read_objective
from inpaint.train.run import train

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig, hydra: HydraConf) -> float | None:
    """Runs the job unless its folder says that it has finished, and keeps a record of what became of it there.

    Args:
        cfg: the job's configuration. A training that was cut short is resumed.
        hydra: Hydra's own configuration of the job.

    Returns:
        The objective, if there is one; None, which Optuna takes for a failed trial (not so NaN), if the job failed.

    Raises:
        UserError: the job has no such objective, so that none of the sweep would have; or its folder holds the
            checkpoints of another configuration, which stay as they are.
    """
    folder = Path(cfg.paths.output)
    config = OmegaConf.to_yaml(
        OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "objective"]), resolve=True
    )
    name_job(cfg, folder.parent, hydra.overrides.task)
    before = records.state(folder, config)
    record = partial(records.write, folder, hydra.overrides.task, config)
    if before == "finished":
        earlier = records.read(folder)
        logged = earlier.logged if earlier else {}
        record("finished", logged=logged)  # by these overrides, too: two studies may share a job
        log.info("Finished before, so not run again; delete its folder to do so:")
        return read_objective(cfg.get("objective"), folder, logged)
    if before is None:  # what another configuration left here is nothing to resume from, or to compare
        if any(folder.glob("checkpoints/*.ckpt")):
            raise UserError(
                f"Another configuration was trained in {folder}: give another hydra.sweep.dir, or delete that folder."
            )
        for name in ("metrics.csv", "metrics.json", RUN_ID):
            (folder / name).unlink(missing_ok=True)
    elif cfg.fit and cfg.ckpt_path is None:
        cfg.ckpt_path = "last"
    record("begun")
    try:
        if not is_one_device(cfg.trainer.devices):
            raise UserError(
                f"trainer.devices is {cfg.trainer.devices}, but each job of a sweep runs on one: set "
                "trainer.devices=1, and spread the jobs with hydra/launcher=joblib."
            )
        logged = train(cfg, overrides_by_key(hydra))
    except UserError as error:
        print_error(error)
        record("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        record("failed", f"{type(error).__name__}: {first_line(error)}")
    else:
        record("finished", logged=logged)
        return read_objective(cfg.get("objective"), folder, logged)
    return None


def overrides_by_key(hydra: HydraConf) -> dict[str, Any]:
    """The overrides of a job of a sweep, with their types, by key; none for a single run."""
    if hydra.mode != RunMode.MULTIRUN:
        return {}
    overrides = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    return {override.get_key_element().lstrip("+"): override.value() for override in overrides}


def print_error(error: UserError) -> None:
    """Prints the sentence of a user's mistake, and what was noted with it, as one line on stderr."""
    print("error:", error, *getattr(error, "__notes__", []), file=sys.stderr)
