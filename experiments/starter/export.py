"""Makes a training checkpoint the network that ships: `python -m experiments.starter.export CHECKPOINT [OUT]`.

Only what predictions need, in float16: generator and mean colour.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from inpaint.content.networks import STARTER, read_state
from inpaint.images import atomic


def export(checkpoint: Path, out: Path = STARTER) -> None:
    """Writes `out` from a checkpoint; raises UserError if it holds no content network."""
    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in read_state(checkpoint).items()
        if name == "mean_colour" or name.startswith("generator.")
    }
    assert all(torch.isfinite(value).all() for value in state.values())
    with atomic(out) as beside:
        save_file(state, beside)


if __name__ == "__main__":
    export(Path(sys.argv[1]), *map(Path, sys.argv[2:3]))
