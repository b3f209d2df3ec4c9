"""Everything by configuration from a folder of one's own: experiment, data, hole and model; a package beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inpaint.files import CONF
from inpaint.imaging.reading import read_picture

PACKAGE = '''
"""A student's own parts."""
import torch
from torch import nn

class Grey(nn.Module):
    """Predicts one grey."""

    def __init__(self, grey: float) -> None:
        super().__init__()
        self.grey = nn.Parameter(torch.tensor(grey))

    def forward(self, context: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        return self.grey.expand(len(context), 3, 64, 64)

def corner(size, generator):
    mask = torch.zeros(1, *size) if isinstance(size, tuple) else torch.zeros(1, size, size)
    mask[:, mask.shape[1] // 2 - 4 : mask.shape[1] // 2, mask.shape[2] // 2 - 4 : mask.shape[2] // 2] = 1
    return mask
'''
FILES = {
    "experiment/mine.yaml": """# @package _global_
defaults:
  - override /data: mine
  - override /model: mine
  - override /hole@data.evaluation_hole: corner
  - _self_
name: mine
fit: false
""",
    "data/mine.yaml": "defaults:\n  - sample\n  - _self_\nnum_workers: 0\ntest_size: 128\ntest_pictures: 1\n",
    "hole/corner.yaml": "_target_: hers.corner\n_partial_: true\n",
    "model/mine.yaml": "defaults:\n  - content\n  - override generator: grey\n  - _self_\ndiscriminator: null\n",
    "model/generator/grey.yaml": "_target_: hers.Grey\ngrey: 0.25\n",
}


@pytest.mark.parametrize("way", ["--config-dir=conf", "hydra.searchpath=[file://conf]"])
def test_an_experiment_of_ones_own(way: str, tmp_path: Path) -> None:
    (tmp_path / "hers.py").write_text(PACKAGE)
    for name, text in FILES.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    words = [way, "+experiment=mine", "hydra.run.dir=out"]
    done = subprocess.run(
        [sys.executable, "-m", "inpaint.train", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (filled,) = (tmp_path / "out" / "pictures").glob("*/content.png")
    assert read_picture(filled)[:, 62, 62].tolist() == pytest.approx([0.25] * 3, abs=0.02)
