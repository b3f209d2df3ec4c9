"""The refinement as a LightningModule: its test step runs both stages on every picture of a batch."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from inpaint.content.module import ContentGAN
from inpaint.imaging.pixels import Mask, Picture, composite
from inpaint.refinement.settings import Settings
from inpaint.refinement.stages import Filled, inpaint, predict
from inpaint.vgg import load_vgg


class Refinement(pl.LightningModule):
    """Stage 2 on top of a content network. Nothing is trained: each picture's pixels are optimised.

    Run it with `Trainer(inference_mode=False)`: the optimisation needs gradients.

    Args:
        weights, precision: of VGG, see `load_vgg` and `VGG.on`.

    Raises:
        UserError: VGG's weights do not reach a layer of the preset; as `load_vgg`.
    """

    def __init__(self, content: ContentGAN, preset: Settings, weights: str | Path, precision: str) -> None:
        super().__init__()
        self.content, self.preset, self.precision = content, preset, precision
        self.vgg = load_vgg(weights)
        self.weight_files = getattr(content, "weight_files", {}) | self.vgg.weight_files
        named = [*preset.matched_layers, *([preset.content_layer] if preset.content_layer else [])]
        self.vgg.steps(named)  # refuses what is not there

    def setup(self, stage: str) -> None:
        self.vgg.on(self.trainer.strategy.root_device, self.precision)

    def forward(self, picture: Picture, mask: Mask) -> Filled:
        """One picture, filled by both stages as `inpaint.Inpainter` fills it: in float32, but for VGG's passes."""
        self.content.eval()
        first_stage = partial(predict, self.content.generator, self.content.mean_colour, self.preset.blend_border)
        with torch.autocast(picture.device.type, enabled=False):
            filled = inpaint(picture, mask, first_stage, self.vgg, self.preset)
        if picture.is_cuda:
            torch.cuda.synchronize()  # or the caller's clock would stop too early
        return filled

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """One batch, picture by picture, as `evaluation.results.Results` takes it.

        The unweighted energies at each scale, before and after, are logged as `refinement/scale<number>/<term>_<when>`:
        a curve over the pictures (`_step`) and the mean (`_epoch`).
        """
        picture, mask = batch["picture"], batch["mask"]
        fills, seconds = [], []
        for one, hole in zip(picture, mask, strict=True):
            began = time.perf_counter()
            fills.append(self(one, hole))
            seconds.append(time.perf_counter() - began)
            self._log_energies(fills[-1])
        return {
            "id": batch["id"],
            "input": composite(picture, torch.ones_like(picture), mask),  # the hole shown white
            "content": torch.stack([filled.content for filled in fills]),
            "refined": torch.stack([filled.refined for filled in fills]),
            "truth": picture,
            "mask": mask,
            "seconds": seconds,
        }

    def _log_energies(self, filled: Filled) -> None:
        for number, scale in enumerate(filled.scales):
            for when, energies in (("before", scale.before), ("after", scale.after)):
                for term, value in (energies.values() if energies else {}).items():
                    name = f"refinement/scale{number}/{term}_{when}"
                    # the curve is each process's own: they may have unequal numbers of pictures to wait for
                    self.log(f"{name}_step", value, on_step=True, on_epoch=False, batch_size=1)
                    self.log(f"{name}_epoch", value, on_epoch=True, batch_size=1, sync_dist=True)
