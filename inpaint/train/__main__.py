"""`python -m inpaint.train`: composes the configuration, builds what it names, trains, tests, and says where it wrote.

The only reader of Hydra. It knows no model: everything is built from the `_target_`s of the configuration.
"""

import logging
import os
import re
import shlex
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only

from inpaint.errors import Interrupted, UserError, first_line
from inpaint.files import CONF
from inpaint.runs import processes, records
from inpaint.train.run import train


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
    before = records.state(folder, config)
    record = partial(records.write, folder, own.overrides.task, config)
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
