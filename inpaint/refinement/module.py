"""The refinement as a LightningModule: its test and predict steps run both stages on every picture of a batch."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.content.networks import SIDE
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.refinement.pyramid import refine
from inpaint.refinement.scale import Report
from inpaint.refinement.settings import Settings
from inpaint.vgg import load_vgg


class Refinement(pl.LightningModule):
    """Stage 2 on top of a content network. Nothing is trained: each picture's pixels are optimised.

    Run it with `Trainer(inference_mode=False)`: the optimisation needs gradients.

    Args:
        content: stage 1, `content(picture, mask)` at 128 x 128 with the hole filled by its prediction.
        preset: what the refinement does.
        weights: of VGG, see `load_vgg`.
        precision: of VGG, see `VGG.on`.
    """

    def __init__(
        self,
        content: nn.Module,
        preset: Settings,
        weights: str | Path = "embedded",
        precision: str = "auto",
    ) -> None:
        super().__init__()
        self.content, self.preset, self.precision = content, preset, precision
        self.vgg = load_vgg(weights)
        self.weight_files = getattr(content, "weight_files", {}) | self.vgg.weight_files
        self.vgg.steps([*preset.layers, *([preset.content_layer] if preset.content_layer else [])])  # all there?

    def setup(self, stage: str) -> None:
        self.vgg.on(self.trainer.strategy.root_device, self.precision)

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"], mask: Float[Tensor, "batch 1 height width"]
    ) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 3 height width"], list[Report]]:
        """The picture filled by the content network alone (enlarged), filled by both stages, and a report a scale."""
        self.content.eval()
        with torch.no_grad():
            prediction = self.content(*resize_masked(picture, mask, (SIDE, SIDE)))
        enlarged = composite(picture, resize(prediction, (picture.shape[-2], picture.shape[-1])), mask)
        with torch.autocast(picture.device.type, enabled=False):  # pixels, energies and L-BFGS are float32
            refined, reports = refine(picture, mask, prediction.float(), self.vgg, self.preset)
        if refined.is_cuda:
            torch.cuda.synchronize()  # or the caller's clock would stop too early
        return enlarged, refined, reports

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """One batch; what it returns is what `evaluation.results.Results` writes.

        The unweighted energies at each scale, before and after, are logged as `refinement/scale<number>/<term>_<when>`:
        a curve over the batches (`_step`) and the mean (`_epoch`).
        """
        picture, mask = batch["picture"], batch["mask"]
        began = time.perf_counter()
        enlarged, refined, reports = self(picture, mask)
        seconds = (time.perf_counter() - began) / len(picture)
        for number, report in enumerate(reports):
            for when, energies in (("before", report.before), ("after", report.after)):
                for term, value in energies._asdict().items():
                    name = f"refinement/scale{number}/{term}_{when}"
                    # the curve is each process's own: they may have unequal numbers of pictures to wait for
                    size = len(picture)
                    self.log(f"{name}_step", value.mean(), on_step=True, on_epoch=False, batch_size=size)
                    self.log(f"{name}_epoch", value.mean(), on_epoch=True, batch_size=size, sync_dist=True)
        return {
            "id": batch["id"],
            "input": composite(picture, torch.ones_like(picture), mask),  # the hole shown white
            "content": enlarged,
            "refined": refined,
            "truth": picture,
            "mask": mask,
            "seconds": [seconds] * len(picture),
        }

    predict_step = test_step
