"""Where the configuration files lie, the presets among them, and what the command and `Inpainter` do unless told."""

from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from inpaint.errors import UserError

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # installed, or in a checkout

DILATE = 8  # pixels: objects have soft edges and shadows
FEATHER = 4  # pixels
MAX_SIDE = 2048  # pixels of a window
MAX_PIXELS = 100_000_000  # of a file: more are taken for a bomb


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
