"""`python -m inpaint.train`: composes the configuration, runs what it says, and prints the folder of the results."""

import os
import re
import shlex
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only
from yaml import YAMLError

from inpaint.errors import Interrupted, UserError
from inpaint.files import CONF
from inpaint.runs import processes
from inpaint.runs.noise import silence_known_warnings
from inpaint.train.job import print_error, run_job
from inpaint.train.names import name_for_agent
from inpaint.train.objective import read_objective
from inpaint.train.run import train
from inpaint.train.sentences import check_overrides, explain
from inpaint.train.tree import Arguments


def main() -> None:
    """Runs the command line. Exit codes: 1 for a failure, 2 for bad usage, 128 + signal for an interruption."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or Hydra prints a traceback of its own, and ends with 1
    words = sys.argv[1:]
    try:
        Arguments.of(words)
        run()
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from None
    except (HydraException, OmegaConfBaseException, YAMLError, OSError) as error:
        print("error:", explain(error, words), file=sys.stderr)
        raise SystemExit(2) from None
    except ValueError as error:
        if "Config group override must be" in str(error):  # Hydra's, for data=null
            print("error:", explain(error, words), file=sys.stderr)
            raise SystemExit(2) from None
        if "No trials are completed" not in str(error):
            raise
        print("error: All jobs of the sweep failed; it says above why.", file=sys.stderr)  # Optuna has no best one then
        raise SystemExit(1) from None


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def run(cfg: DictConfig) -> float | None:
    """One run, or one job of a sweep; returns its objective, if there is one, to Hydra's sweeper."""
    silence_known_warnings()
    own = HydraConfig.get()
    try:
        check_overrides(cfg, own.overrides.task, own.runtime.choices)
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except (UserError, OmegaConfBaseException) as error:
        print("error:", explain(error, sys.argv[1:]), file=sys.stderr)
        raise SystemExit(2) from None
    say = rank_zero_only(print)
    command = command_to_go_on(cfg)
    another_ended = f"error: Another process of this run has ended; it says above why. To go on: {command}"
    processes.end_with_the_first_process()
    processes.EndWhenAnotherFails(another_ended)
    try:
        if own.mode == RunMode.MULTIRUN:
            value = run_job(cfg, own)
        else:
            name_for_agent(cfg, own.overrides.task)
            logged = train(cfg)
            value = read_objective(cfg.objective, Path(cfg.paths.output), logged)
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as stop:
        say(f"Interrupted; to go on: {command}")
        say(cfg.paths.output)
        # of several processes, the first one speaks: it would take any other code of another's for a crash
        code = stop.code if isinstance(stop, Interrupted) else 130
        raise SystemExit(code if getattr(rank_zero_only, "rank", 0) == 0 else 0) from None
    except Exception as error:
        if not processes.says_that_another_ended(error):
            raise
        print(another_ended, file=sys.stderr)
        raise SystemExit(1) from None
    if value is not None:
        say(f"{cfg.objective}: {value:.6g}")
    say(cfg.paths.output)
    return value


def command_to_go_on(cfg: DictConfig) -> str:
    """The command that goes on with this run, or with its sweep, in its own folder."""
    own = HydraConfig.get()
    if own.mode == RunMode.MULTIRUN:
        kept, key, folder, resume = sys.argv[1:], "hydra.sweep.dir", str(own.sweep.dir), []
    else:
        kept, key, folder = list(own.overrides.task), "hydra.run.dir", str(cfg.paths.output)
        resume = ["ckpt_path=last"] if cfg.fit else []
    kept = [value for value in kept if not value.startswith(("ckpt_path=", f"{key}="))]
    quoted = f"'{folder}'" if re.search(r"[^\w./-]", folder) else folder  # for Hydra, before the shell
    return shlex.join(["python", "-m", "inpaint.train", *kept, f"{key}={quoted}", *resume])


if __name__ == "__main__":
    main()
