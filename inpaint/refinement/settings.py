"""Everything that decides what the refinement does, and the presets."""

from dataclasses import dataclass
from typing import Any, cast

from omegaconf import OmegaConf

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.refinement.matching import Rule


def read_preset(name: str) -> dict[str, Any]:
    """The values of `conf/model/preset/<name>.yaml`, those of the files that it is based on included.

    The same files are composed by Hydra for training; without it a preset is read in milliseconds.

    Raises:
        UserError: there is no such preset; the sentence names those that there are.
    """
    folder = CONF / "model" / "preset"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        raise UserError(f"There is no preset {name!r}: choose one of {', '.join(names)}.")
    own = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(folder / f"{name}.yaml")))
    values: dict[str, Any] = {}
    for base in own.pop("defaults", []):
        values |= own if base == "_self_" else read_preset(base)
    values |= own
    values.pop("_target_", None)
    return values


@dataclass(frozen=True)
class Settings:
    """Everything that decides what the refinement does.

    Attributes:
        alpha: weight of the texture energy (measured in the candidates' mean squared patch norm).
        beta: weight of the TV energy.
        layers: where texture is matched.
        rule: what "nearest" means: "ncc" or "l2" (equation 4).
        colour: how much the cells' mean colours weigh beside their features in what is nearest; the paper has none.
        smooth: standard deviation, in pixels of the first scale, of a Gaussian that takes the content network's grid
            out of its prediction (matched, it would become lattices); the paper has none.
        content_layer: None compares pixels with the prediction (equation 2); a layer's name compares its features, in
            units of their mean square (the authors' code).
        scales: how many, each half the next; the last is the picture's own size.
        rounds: how often, at each scale, matches are found anew.
        iterations: L-BFGS iterations in each round.
        content_weight: weight of the content energy; 0 leaves it out (figure 5).
    """

    alpha: float = 0.2
    beta: float = 1e-3
    layers: tuple[str, ...] = ("relu3_1", "relu4_1")
    rule: Rule = "ncc"
    colour: float = 0.3
    smooth: float = 2.0
    content_layer: str | None = None
    scales: int = 3
    rounds: int = 3
    iterations: int = 10
    content_weight: float = 1.0

    def __post_init__(self) -> None:
        weights = {"alpha": 0, "beta": 0, "content_weight": 0, "colour": 0, "smooth": 0}
        leasts = weights | {"scales": 1, "rounds": 1, "iterations": 1}
        for name, least in leasts.items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name} is {getattr(self, name)}, but has to be at least {least}.")
        if self.rule not in ("ncc", "l2"):
            raise UserError(f"There is no matching rule {self.rule!r}: choose ncc or l2.")
        if not self.layers:
            raise UserError("layers is empty: name at least one layer to match texture in, such as relu4_1.")
        object.__setattr__(self, "layers", tuple(self.layers))
