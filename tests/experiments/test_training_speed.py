from pathlib import Path

import pytest
import torch

from experiments.training_speed.bench import FLOAT32, Plain, configuration
from inpaint.content.module import ContentGAN
from inpaint.train.run import build
from tests.content.test_module import fit, samples


@pytest.mark.parametrize(("overrides", "precision"), [(FLOAT32, "32-true"), ([], None)])
def test_the_overrides_are_the_plain_settings(overrides: list[str], precision: str | None, tmp_path: Path) -> None:
    cfg = configuration(tmp_path, *overrides)
    assert build(cfg.trainer, callbacks=[], logger=False).precision == (precision or build(cfg.trainer.precision))
    fused = {cfg.model.content[name].fused for name in ("optimizer_g", "optimizer_d")}
    assert fused == ({None} if overrides else {True})


def test_the_plain_loop_is_the_training(tmp_path: Path) -> None:
    """From the same weights, on the same batch, to the same weights."""
    module: ContentGAN = build(configuration(tmp_path, *FLOAT32).model.content)
    plain = Plain(torch.channels_last)
    plain.generator.load_state_dict(module.generator.state_dict())
    plain.discriminator.load_state_dict(module.discriminator.state_dict())
    start = torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])
    picture, mask = (torch.stack([sample[key] for sample in samples(4)[:2]]) for key in ("picture", "mask"))
    plain.step(picture, mask)
    fit(module, limit_train_batches=1)
    networks = (plain.generator, plain.discriminator)
    theirs, own = (
        torch.cat([parameter.detach().flatten() for network in found for parameter in network.parameters()]) - start
        for found in (networks, (module.generator, module.discriminator))
    )
    assert own.abs().max() > 1e-3
    assert (own - theirs).norm() < 1e-3 * own.norm()
