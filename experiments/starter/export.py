"""Makes a training's checkpoint a network that can ship: `python -m experiments.starter.export CHECKPOINT OUT`.

OUT, a .safetensors file, holds only what predictions need: the generator's weights and the mean colour, in float16 (but
for variances that are too large for it), and which network it is.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from inpaint.content.weights import read_network, save_network
from inpaint.errors import UserError


def export(checkpoint: Path, out: Path) -> None:
    """Writes `out` from a checkpoint.

    Raises:
        UserError: the checkpoint holds no content network, or one that diverged; `out` is no .safetensors file, or
            cannot be written.
    """
    if out.suffix.lower() != ".safetensors":
        raise UserError(f"{out} is to be a .safetensors file: give it that ending.")
    network = read_network(checkpoint)
    tensors = {name: halved(name, value) for name, value in network.tensors.items()}
    if diverged := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
        raise UserError(f"{checkpoint} holds a network that diverged: {diverged[0]} is not finite in float16.")
    save_network(network._replace(tensors=tensors, mean_colour=network.mean_colour.half()), out)


def halved(name: str, value: Tensor) -> Tensor:
    """In float16, but for whole numbers, and variances (of VGG's features, say) that it cannot hold."""
    half = value.half() if value.is_floating_point() else value
    return value if name.endswith("running_var") and not torch.isfinite(half).all() else half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="what to export: a checkpoint of model=content")
    parser.add_argument("out", type=Path, help="what to write; a file that is there is replaced")
    options = parser.parse_args()
    try:
        export(options.checkpoint, options.out)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
