"""What starting a fill imports: nothing that only training, evaluation or other choices need."""

import subprocess
import sys

STARTED = """
import sys
import inpaint.fill.__main__, inpaint.fill.jobs, inpaint.fill.run
from inpaint import Inpainter

Inpainter(device="cpu")
print(*{name.partition(".")[0] for name in sys.modules})
"""
HEAVY = {
    "cv2",
    "fastapi",
    "hydra",
    "kornia",
    "lightning_fabric",
    "matplotlib",
    "omegaconf",
    "onnxruntime",
    "pandas",
    "pytorch_lightning",
    "ray",
    "skimage",
    "sympy",
    "torchmetrics",
    "torchvision",
    "triton",
    "wandb",
}


def test_a_fill_starts_without_what_only_training_and_evaluation_need():
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"torch", "inpaint"} <= loaded
    assert not loaded & HEAVY
