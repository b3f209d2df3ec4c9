from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from inpaint.content.layers import ChannelWise
from inpaint.content.module import ContentGAN
from tests.content.helpers import tiny_generator

CONF = Path(__file__).parents[2] / "conf"
TINY = ["model.generator.filters=4", "model.generator.bottleneck=8", "model.discriminator.filters=4"]


def composed(*overrides: str, name: str = "model/content") -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides=list(overrides)).model


def test_defaults_are_the_paper_s():
    module = instantiate(composed(*TINY))
    assert isinstance(module, ContentGAN)
    assert (module.lambda_rec, module.lambda_adv, module.ring_weight) == (0.999, 0.001, 10.0)
    torch.testing.assert_close(module.mean_colour.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    (optimizer_g, optimizer_d), schedulers = module.configure_optimizers()
    assert schedulers == []
    assert optimizer_g.defaults["lr"] == pytest.approx(10 * optimizer_d.defaults["lr"])
    for optimizer in (optimizer_g, optimizer_d):
        assert isinstance(optimizer, torch.optim.Adam)
        assert tuple(optimizer.defaults["betas"]) == (0.5, 0.999)


def test_no_configuration_object_reaches_the_checkpoints():
    assert type(instantiate(composed(*TINY)).optimizer_g.keywords["betas"]) is list


def test_the_paper_s_generator_is_the_default():
    with torch.device("meta"):
        built, paper = instantiate(composed().generator), tiny_generator(filters=64, bottleneck=4000)
    assert built.architecture == paper.architecture
    assert str(built) == str(paper)


def test_the_small_generator():
    with torch.device("meta"):
        built = instantiate(composed("model/generator=small").generator)
    assert str(built) == str(tiny_generator(filters=32, bottleneck=1024))


def test_the_residual_generator():
    built = instantiate(composed("model/generator=residual").generator)
    assert str(built) == str(tiny_generator(filters=32, bottleneck=680, residual=True, perceptual=True))


def test_the_original_context_encoder():
    built = instantiate(composed("model/generator=context_encoder", *TINY[:2]).generator)
    assert isinstance(built.middle[0], ChannelWise)
    slopes = {layer.negative_slope for layer in built.modules() if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2}
    assert any(isinstance(layer, nn.ReLU) for layer in built.modules())
    assert not any(isinstance(layer, nn.ELU) for layer in built.modules())


def test_l2_alone():
    module = instantiate(composed("model.discriminator=null", *TINY[:2]))
    assert module.discriminator is None


def test_a_scheduler_can_be_given():
    scheduler = "{_target_: torch.optim.lr_scheduler.CosineAnnealingLR, _partial_: true, T_max: 10}"
    _, schedulers = instantiate(composed(f"model.scheduler={scheduler}", *TINY)).configure_optimizers()
    assert [type(each) for each in schedulers] == [torch.optim.lr_scheduler.CosineAnnealingLR] * 2


def test_composes_as_a_part_of_another_model():
    ConfigStore.instance().store(
        group="model", name="holds_content", node={"defaults": ["content@content", "_self_"], "alpha": 1}
    )
    config = composed("model/generator@model.content.generator=small", name="model/holds_content")
    assert set(config) == {"alpha", "content"}
    assert config.content == composed("model/generator=small")
