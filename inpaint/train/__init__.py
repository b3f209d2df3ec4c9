"""`python -m inpaint.train`: trains and evaluates, as a configuration says."""

from omegaconf import DictConfig, OmegaConf


def without(group: DictConfig, *keys: str) -> dict[str, object]:
    """What a group of the configuration holds but for these keys: `${without:${data},num_workers}`."""
    return {str(key): value for key, value in group.items() if key not in keys}


OmegaConf.register_new_resolver("without", without, replace=True)
