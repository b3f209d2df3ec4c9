"""The refinement as a LightningModule: its test step runs both stages on every picture of a batch."""

import time
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch

from inpaint.content.module import ContentGAN
from inpaint.content.predict import predict
from inpaint.imaging.pixels import Mask, Picture, white_hole
from inpaint.refinement.features import Features, check_features
from inpaint.refinement.settings import Settings
from inpaint.refinement.stages import Filled, inpaint


class Refinement(pl.LightningModule):
    """Stage 2 on top of a content network. Nothing is trained: each picture's pixels are optimised.

    Run it with `Trainer(inference_mode=False)`: the optimisation needs gradients.

    Args:
        features: what patches are matched by: VGG-16 (`inpaint.vgg.load_vgg`) unless told otherwise, where the paper
            has VGG-19.
        precision: of the features, see `Features.on`.

    Attributes:
        features_name: for tables.
        weight_files: those of the content network and of the features.

    Raises:
        UserError: the features do not give a layer of the preset.
    """

    def __init__(self, content: ContentGAN, preset: Settings, features: Features, precision: str) -> None:
        super().__init__()
        self.automatic_optimization = False  # as the training's: `trainer.global_step` stays the number of its batches
        check_features(features, preset.used_layers)
        self.content, self.preset, self.features, self.precision = content, preset, features, precision
        self.features_name = features.name
        self.weight_files = getattr(content, "weight_files", {}) | dict(features.weight_files)

    def setup(self, stage: str) -> None:
        self.features = self.features.on(self.trainer.strategy.root_device, self.precision)

    def on_test_epoch_start(self) -> None:
        self.pictures = 0

    def forward(self, picture: Picture, mask: Mask) -> Filled:
        """One picture, filled by both stages as `inpaint.Inpainter` fills it: in float32, but for the features."""
        self.eval()
        first_stage = partial(predict, self.content.generator, self.content.mean_colour, self.preset.blend_border)
        with torch.autocast(picture.device.type, enabled=False):
            filled = inpaint(picture, mask, first_stage, self.features, self.preset)
        if picture.is_cuda:
            torch.cuda.synchronize()  # or the caller's clock would stop too early
        return filled

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """One batch, picture by picture, as `evaluation.results.Results` takes it.

        The unweighted energies at each scale, before and after, are logged picture by picture as
        `energy/scale<number>/<term>_<when>`, by the number of the picture among those of this process; and their means
        over all pictures as `test/energy/...`.
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
            "input": white_hole(picture, mask),
            "content": torch.stack([filled.content for filled in fills]),
            "refined": torch.stack([filled.refined for filled in fills]),
            "truth": picture,
            "mask": mask,
            "seconds": seconds,
        }

    def _log_energies(self, filled: Filled) -> None:
        values = {
            f"energy/scale{number}/{term}_{when}": value
            for number, scale in enumerate(filled.scales)
            for when, energies in (("before", scale.before), ("after", scale.after))
            for term, value in (energies.values() if energies else {}).items()
        }
        # not by self.log, which keeps one value of a batch of pictures
        for logger in self.loggers:
            logger.log_metrics(values, step=self.pictures)
        self.pictures += 1
        for name, value in values.items():
            self.log(f"test/{name}", value, on_epoch=True, batch_size=1, sync_dist=True)
