"""Makes a training checkpoint the network that ships: `python -m experiments.starter.export CHECKPOINT [OUT]`.

Only what predictions need, generator and mean colour, in float16 (but for variances that are too large for it).
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from inpaint.content.weights import STARTER, read_state
from inpaint.files import atomic


def export(checkpoint: Path, out: Path = STARTER) -> None:
    """Writes `out` from a checkpoint; raises UserError if it holds no content network."""
    state = {
        name: halved(name, value).contiguous()
        for name, value in read_state(checkpoint).items()
        if name == "mean_colour" or name.startswith("generator.")
    }
    assert all(torch.isfinite(value).all() for value in state.values())
    with atomic(out) as beside:
        save_file(state, beside)


def halved(name: str, value: Tensor) -> Tensor:
    """In float16, but for whole numbers, and variances (of VGG's features, say) that it cannot hold."""
    half = value.half() if value.is_floating_point() else value
    return value if name.endswith("running_var") and not torch.isfinite(half).all() else half


if __name__ == "__main__":
    export(Path(sys.argv[1]), *map(Path, sys.argv[2:3]))
