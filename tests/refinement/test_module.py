import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.refinement.module import Refinement
from inpaint.refinement.settings import preset
from inpaint.vgg import EMBEDDED
from tests.refinement.test_stages import Content, Grey

QUICK = preset(scales=1, rounds=1, iterations=1)


def run(module, pictures=2, size=192):
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
        logger=False,
        callbacks=[Keep()],
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )
    logged = trainer.test(module, DataLoader(samples, batch_size=1), verbose=False)[0]
    return samples, outputs, logged


def test_both_stages_on_every_picture():
    module = Refinement(Content(Grey()), QUICK, "embedded", "float32")
    samples, outputs, logged = run(module)
    assert [output["id"] for output in outputs] == [["p0"], ["p1"]]
    for sample, output in zip(samples, outputs, strict=True):
        mask, picture = sample["mask"], sample["picture"]
        assert torch.equal(output["truth"][0], picture)
        assert torch.equal(output["input"][0], picture * (1 - mask) + mask)
        assert torch.allclose(output["content"][0] * mask, 0.5 * mask, atol=0.35)
        assert torch.equal(output["refined"][0] * (1 - mask), picture * (1 - mask))
        assert not torch.equal(output["refined"], output["content"])
        assert output["seconds"][0] > 0
    assert module.content.generator.shown[0].shape == (1, 3, 128, 128)
    assert module.content.generator.shown[1].shape == (1, 1, 128, 128)
    names = {
        f"refinement/scale0/{t}_{w}" for t in ("content", "texture", "total_variation") for w in ("before", "after")
    }
    assert {f"{name}_epoch" for name in names} == set(logged)
    assert logged["refinement/scale0/texture_after_epoch"] < logged["refinement/scale0/texture_before_epoch"]


def test_the_weights_it_used_are_named():
    assert Refinement(Content(Grey()), QUICK, "embedded", "auto").weight_files == {"vgg": EMBEDDED}


def test_a_layer_beyond_the_weights_is_refused_at_once():
    with pytest.raises(UserError, match="no layer 'relu5_1'"):
        Refinement(Content(Grey()), preset(layers=("relu5_1",)), "embedded", "auto")
