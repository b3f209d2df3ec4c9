"""`python -m inpaint.train`: trains and evaluates, as a configuration says."""

from typing import cast

from omegaconf import DictConfig, OmegaConf


def without(group: DictConfig, *keys: str) -> dict[str, object]:
    """What a group of the configuration holds but for these keys, resolved: `${without:${data},num_workers}`."""
    held = cast(dict[str, object], OmegaConf.to_container(group, resolve=True))
    return {key: value for key, value in held.items() if key not in keys}


OmegaConf.register_new_resolver("without", without, replace=True)
