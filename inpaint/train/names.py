"""The names of runs at W&B: by what a sweep gave to each, in a group that no other sweep has."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from inpaint.runs.records import label_jobs

SWEEP = "multirun.yaml"
"""The configuration of a sweep, in its folder."""


def name_job(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> None:
    """Names a job's W&B run by what the sweep gave to it, and groups it with the others of this sweep alone.

    Args:
        cfg: the job's configuration; a name or a group that is not `name` itself is left alone.
        folder: of the sweep.
        overrides: of the job.
    """
    if "wandb" in cfg.get("logger", {}):
        _name(cfg, overrides, [word.partition("=")[0] for word in swept_overrides(folder)])
        if cfg.logger.wandb.group == cfg.name:
            cfg.logger.wandb.group = group_of(cfg.name, folder)


def name_for_agent(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Names a run that a W&B agent started by what the W&B sweep gave to it; the agent leaves that in a file."""
    path = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if path and "wandb" in cfg.get("logger", {}):
        try:
            given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            return
        _name(cfg, overrides, given if isinstance(given, dict) else ())


def _name(cfg: DictConfig, overrides: Sequence[str], keys: Iterable[str]) -> None:
    (label, _) = label_jobs([[word for word in overrides if word.partition("=")[0] in keys], []])
    if cfg.logger.wandb.name == cfg.name and label:
        cfg.logger.wandb.name = f"{cfg.name} {label}"


def group_of(name: str, folder: Path) -> str:
    """The W&B group of a sweep's runs: its name, and its folder's, which holds the date."""
    return name if folder.name == name else f"{name} {folder.name}"


def swept_overrides(folder: Path) -> list[str]:
    """What a sweep sweeps, as its `multirun.yaml` says: `["model.preset.alpha=0.1,0.2"]`."""
    try:
        own = OmegaConf.load(folder / SWEEP).hydra
        words = [f"{key}={value}" for key, value in (own.sweeper.params or {}).items()] + list(own.overrides.task)
        parsed = OverridesParser.create().parse_overrides(words)
    except (OSError, yaml.YAMLError, HydraException, OmegaConfBaseException, AttributeError):
        return []
    return [str(override.input_line) for override in parsed if override.is_sweep_override()]
