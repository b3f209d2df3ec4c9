"""A LightningModule that evaluates a classical filling by the same test step as the two stages."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from inpaint.classical.filling import fill, filler
from inpaint.imaging.pixels import white_hole


class Classical(pl.LightningModule):
    """Fills every test picture at its full size, on the CPU, one after the other. There is nothing to train.

    The method is telea, ns, biharmonic or patchmatch, see `filler`.
    """

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method, self.filler = method, filler(method)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """Fills one batch, as `evaluation.results.Results` takes it: in the refinement's place, under its own name."""
        picture, mask = batch["picture"], batch["mask"]
        filled, seconds = [], []
        for one, hole in zip(picture, mask, strict=True):
            began = time.perf_counter()
            filled.append(fill(one, hole, self.filler))
            seconds.append(time.perf_counter() - began)
        return {
            "id": batch["id"],
            "input": white_hole(picture, mask),
            "refined": torch.stack(filled),
            "truth": picture,
            "mask": mask,
            "seconds": seconds,
            "headings": {"refined": self.method},
        }
