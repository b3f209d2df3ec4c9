from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger
from torch.utils.data import DataLoader

from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.refinement.module import Refinement
from inpaint.refinement.settings import preset
from inpaint.vgg import EMBEDDED, load_vgg
from tests.refinement.test_own_features import Filters
from tests.refinement.test_stages import Content, Grey

QUICK = preset(scales=1, rounds=1, iterations=1)
WHEN = ("before", "after")


class Curves(Logger):
    """A logger that keeps what it is given."""

    name, version = "curves", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((dict(metrics), step))

    def log_hyperparams(self, *_, **__):
        pass


def run(module, pictures=2, size=192, batch_size=1, logger=False):
    torch.manual_seed(0)
    mask = torch.zeros(1, size, size)
    mask[:, size // 4 : -size // 4, size // 4 : -size // 4] = 1
    samples = [
        {"id": f"p{i}", "picture": resize(torch.rand(1, 3, 24, 24), (size, size))[0], "mask": mask}
        for i in range(pictures)
    ]
    outputs = []

    class Keep(pl.Callback):
        def on_test_batch_end(self, trainer, pl_module, output, *_):
            outputs.append(output)

    trainer = pl.Trainer(
        accelerator="cpu",
        logger=logger,
        callbacks=[Keep()],
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )
    logged = trainer.test(module, DataLoader(samples, batch_size=batch_size), verbose=False)[0]
    return samples, outputs, logged


def test_both_stages_on_every_picture():
    module = Refinement(Content(Grey()), QUICK, load_vgg(), "float32")
    samples, outputs, _ = run(module)
    assert [output["id"] for output in outputs] == [["p0"], ["p1"]]
    for sample, output in zip(samples, outputs, strict=True):
        mask, picture = sample["mask"], sample["picture"]
        assert torch.equal(output["truth"][0], picture)
        assert torch.equal(output["input"][0], picture * (1 - mask) + mask)
        inner = output["content"][0][:, 80:112, 80:112]  # at the border it is drawn to what is known
        assert torch.allclose(inner, torch.full_like(inner, 0.5), atol=0.01)
        assert torch.equal(output["refined"][0] * (1 - mask), picture * (1 - mask))
        assert not torch.equal(output["refined"], output["content"])
        assert output["seconds"][0] > 0
    assert module.content.generator.shown[0].shape == (1, 3, 128, 128)
    assert module.content.generator.shown[1].shape == (1, 1, 128, 128)


def test_energies_are_logged_picture_by_picture_and_their_means():
    """Of each picture of a batch; a further term's as well."""
    terms = {"ones": {"weight": 1.0, "energy": lambda x, x_i, mask: x.mean() * 0 + 1}}
    curves = Curves()
    module = Refinement(Content(Grey()), replace(QUICK, terms=terms), load_vgg(), "float32")
    _, _, means = run(module, pictures=3, batch_size=2, logger=curves)
    names = {f"energy/scale0/{t}_{w}" for t in ("content", "texture", "total_variation", "ones") for w in WHEN}
    rows = [(step, values) for values, step in curves.rows if "energy/scale0/texture_after" in values]
    assert [step for step, _ in rows] == [0, 1, 2]
    assert all(set(values) == names for _, values in rows)
    assert {f"test/{name}" for name in names} == set(means)
    for name in names:
        mean = sum(values[name] for _, values in rows) / 3
        assert means[f"test/{name}"] == pytest.approx(mean, rel=1e-5)
    assert means["test/energy/scale0/texture_after"] < means["test/energy/scale0/texture_before"]


def test_what_gave_the_features_is_named():
    module = Refinement(Content(Grey()), QUICK, load_vgg(), "auto")
    assert module.weight_files == {"vgg": EMBEDDED}
    assert module.features_name == "VGG-16"


def test_features_of_ones_own():
    """As any nn.Module: on the device, in evaluation mode."""

    class Watched(Filters):
        def on(self, device, precision):
            assert (str(device), precision) == ("cpu", "auto")
            return super().on(device, precision)

        def forward(self, picture, layers):
            assert not self.training
            return super().forward(picture, layers)

    phi, chosen = Watched({"fine": 4}), replace(QUICK, layers=("fine",), voting_layer="fine")
    module = Refinement(Content(Grey()), chosen, phi, "auto")
    _, outputs, _ = run(module, pictures=1)
    assert module.features_name == "random filters"
    assert not torch.equal(outputs[0]["refined"], outputs[0]["content"])


def test_a_layer_beyond_the_weights_is_refused_at_once():
    with pytest.raises(UserError, match="no layer 'relu5_1'"):
        Refinement(Content(Grey()), preset(layers=("relu5_1",)), load_vgg(), "auto")
