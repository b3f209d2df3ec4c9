from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from inpaint.content.layers import ChannelWise
from inpaint.content.losses import PerceptualLoss
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
    assert (module.losses, module.accumulate_batches, module.clip_norm) == ({}, 1, None)
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


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "optimizer").glob("*.yaml")))
def test_every_optimizer_is_built_with_what_its_file_says_alone(name):
    """It takes the place of Adam with all its arguments; the rates of the two networks stay."""
    overrides = [f"optimizer@model.optimizer_{network}={name}" for network in "gd"]
    cfg = composed(*overrides, *TINY)
    own = OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")
    assert set(cfg.optimizer_g) == set(cfg.optimizer_d) == {*own, "lr"}
    optimizers, _ = instantiate(cfg).configure_optimizers()
    assert [type(optimizer) for optimizer in optimizers] == [get_class(own._target_)] * 2
    assert [optimizer.defaults["lr"] for optimizer in optimizers] == [2e-3, 2e-4]
    weight = optimizers[0].param_groups[0]["params"][0]
    before = weight.detach().clone()
    weight.grad = torch.ones_like(weight)
    optimizers[0].step()
    assert (weight < before).all()


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "scheduler").glob("*.yaml")))
def test_every_scheduler_is_built(name):
    cfg = composed(f"scheduler@model.scheduler={name}", *TINY)
    assert set(cfg.scheduler) == set(OmegaConf.load(CONF / "scheduler" / f"{name}.yaml"))
    if name == "cosine":
        cfg.scheduler.batches = 10
    _, schedulers = instantiate(cfg).configure_optimizers()
    rates = [each.get_last_lr()[0] for each in schedulers]
    assert rates == pytest.approx([2e-5, 2e-6] if name == "warmup" else [2e-3, 2e-4])


def test_optimizers_and_schedulers_of_the_refinement_s_content_network():
    names = ["optimizer@model.content.optimizer_g=sgd", "scheduler@model.content.scheduler=step"]
    cfg = composed("model=refinement", *names, name="train").content
    assert cfg.optimizer_g._target_ == "torch.optim.SGD"
    assert "betas" not in cfg.optimizer_g
    assert cfg.optimizer_d._target_ == "torch.optim.Adam"
    assert cfg.scheduler._target_ == "torch.optim.lr_scheduler.StepLR"


def test_the_perceptual_loss_is_added_by_name():
    cfg = composed(
        "+model/loss@model.losses.perceptual=perceptual", "model.losses.perceptual.weight=0.2", *TINY, name="train"
    )
    module = instantiate(cfg)
    assert list(module.losses) == ["perceptual"]
    assert module.losses["perceptual"]["weight"] == 0.2
    assert isinstance(module.losses["perceptual"]["loss"], PerceptualLoss)
    assert set(module.state_dict()) == set(instantiate(composed(*TINY)).state_dict())
    assert set(module.weight_files) == {"loss_perceptual_vgg"}


def test_the_optimizers_of_the_starter():
    """As they were when it was trained: its checkpoints resume."""
    for experiment, lr, decay in (("starter_base", 1e-3, 0.01), ("starter", 5e-4, 0.1)):
        cfg = composed(f"+experiment={experiment}", name="train")
        assert OmegaConf.to_container(cfg.optimizer_g) == {
            "_target_": "torch.optim.AdamW",
            "_partial_": True,
            "lr": lr,
            "betas": [0.9, 0.999],
            "weight_decay": decay,
            "fused": True,
        }
        assert cfg.optimizer_d._target_ == "torch.optim.Adam"
        assert cfg.scheduler._target_ == "torch.optim.lr_scheduler.CosineAnnealingLR"
        assert set(cfg.scheduler) == {"_target_", "_partial_", "T_max"}


def test_composes_as_a_part_of_another_model():
    ConfigStore.instance().store(
        group="model", name="holds_content", node={"defaults": ["content@content", "_self_"], "alpha": 1}
    )
    config = composed("model/generator@model.content.generator=small", name="model/holds_content")
    assert set(config) == {"alpha", "content"}
    assert config.content == composed("model/generator=small")
