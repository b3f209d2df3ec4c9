import copy
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from inpaint.content.losses import reconstruction
from inpaint.content.module import ContentGAN
from inpaint.errors import UserError
from inpaint.imaging.pixels import middle
from tests.content.helpers import tiny_discriminator, tiny_gan

ALWAYS = {"content/loss_rec", "content/loss_g", "content/grad_norm_g", "content/lr_generator"}
ADVERSARIAL = {
    "content/loss_adv",
    "content/loss_d_real",
    "content/loss_d_fake",
    "content/accuracy_real",
    "content/accuracy_fake",
    "content/grad_norm_d",
    "content/lr_discriminator",
}
VALIDATION = {"content/val_l1", "content/val_l2", "content/val_psnr"}

adam = partial(torch.optim.Adam, betas=(0.5, 0.999))


def make(adversarial: bool = True, filters: int = 4, **changes) -> ContentGAN:
    torch.manual_seed(0)
    networks = {"generator": {"filters": filters}, "discriminator": tiny_discriminator() if adversarial else None}
    return tiny_gan(**(networks | changes))


def samples(count: int = 4, side: int = 128) -> list[dict]:
    """Smooth pictures, one colour gradient each, with the hole that leaves a ring of the middle known."""
    ramp = torch.linspace(0, 1, side)
    mask = torch.zeros(1, side, side)
    edge = side * 9 // 32
    mask[:, edge:-edge, edge:-edge] = 1
    pictures = [
        torch.stack(
            [
                ramp.expand(side, side),
                ramp.view(-1, 1).expand(side, side),
                torch.full((side, side), i / count),
            ]
        )
        for i in range(count)
    ]
    return [{"id": f"p{i}", "picture": picture, "mask": mask} for i, picture in enumerate(pictures)]


def loader(count: int = 4, side: int = 128) -> DataLoader:
    return DataLoader(samples(count, side), batch_size=2)


def batch() -> dict:
    return next(iter(loader()))


def trainer(**options) -> pl.Trainer:
    options = {"max_epochs": 1, "enable_checkpointing": False, **options}
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def fit(module: ContentGAN, ckpt_path: Path | None = None, **options) -> pl.Trainer:
    run = trainer(**options)
    run.fit(module, loader(), loader(2), ckpt_path=ckpt_path)
    return run


# Filling a hole


def test_fills_the_hole_and_leaves_the_rest():
    module, data = make().eval(), batch()
    with torch.no_grad():
        filled = module(data["picture"], data["mask"])
        prediction = module.predict_middle(data["picture"], data["mask"])
    hole = data["mask"].bool().expand_as(filled)
    assert torch.equal(filled[~hole], data["picture"][~hole])
    inner = middle(hole)
    assert torch.equal(middle(filled)[inner], prediction[inner])


def test_never_sees_what_is_in_the_hole():
    module, data = make().eval(), batch()
    other = torch.where(data["mask"].bool(), torch.rand_like(data["picture"]), data["picture"])
    with torch.no_grad():
        assert torch.equal(module(data["picture"], data["mask"]), module(other, data["mask"]))


def test_the_hole_is_shown_in_the_mean_colour():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, picture, mask):
            seen.append(picture)
            return middle(picture)

    colour = (0.1, 0.2, 0.3)
    module = tiny_gan(generator=Spy(), mean_colour=colour)
    module(batch()["picture"], batch()["mask"])
    torch.testing.assert_close(seen[0][0, :, 64, 64], torch.tensor(colour))


def test_the_whole_middle_is_allowed():
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 32:96, 32:96] = 1
    assert make().eval()(torch.rand(1, 3, 128, 128), mask).shape == (1, 3, 128, 128)


def test_another_size_is_refused():
    with pytest.raises(UserError, match="works at 128 x 128, but the picture is 256 x 200"):
        make()(torch.rand(1, 3, 256, 200), torch.zeros(1, 1, 256, 200))


# Options


def test_a_discriminator_needs_its_optimizer():
    with pytest.raises(UserError, match="no optimizer_d"):
        make(optimizer_d=None)


@pytest.mark.parametrize("colour", [(117, 104, 123), (0.5, 0.5)])
def test_a_mean_colour_in_other_units_is_refused(colour):
    with pytest.raises(UserError, match="mean_colour"):
        make(mean_colour=colour)


def test_without_a_discriminator_there_is_one_optimizer():
    module = make(adversarial=False)
    assert not any(name.startswith("discriminator") for name in module.state_dict())
    optimizers, schedulers = module.configure_optimizers()
    assert len(optimizers) == 1
    assert schedulers == []


# Training


@pytest.mark.parametrize("adversarial", [True, False])
def test_an_epoch_logs_exactly_these_and_counts_batches(adversarial):
    run = fit(make(adversarial))
    assert set(run.callback_metrics) == ALWAYS | VALIDATION | (ADVERSARIAL if adversarial else set())
    assert all(torch.isfinite(value) for value in run.callback_metrics.values())
    assert run.global_step == 2


def test_the_logged_sum_is_the_weighted_sum():
    logged = fit(make(lambda_rec=0.7, lambda_adv=0.3), limit_train_batches=1).callback_metrics
    expected = 0.7 * logged["content/loss_rec"] + 0.3 * logged["content/loss_adv"]
    torch.testing.assert_close(logged["content/loss_g"], expected)


def test_an_l2_step_descends_the_weighted_reconstruction():
    module = make(adversarial=False, optimizer_g=partial(torch.optim.SGD, lr=0.5), lambda_rec=0.9, ring_weight=7)
    start = copy.deepcopy(module)
    data = batch()
    prediction = start.predict_middle(data["picture"], data["mask"])
    loss = 0.9 * reconstruction(prediction, middle(data["picture"]), 1 - middle(data["mask"]), ring_weight=7)
    loss.backward()
    norm = fit(module, limit_train_batches=1).callback_metrics["content/grad_norm_g"]
    gradients = [parameter.grad.flatten() for parameter in start.parameters()]
    torch.testing.assert_close(norm, torch.cat(gradients).norm())
    for before, after in zip(start.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.5 * before.grad)


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_each_optimizer_moves_its_own_network_only(frozen):
    still = partial(torch.optim.SGD, lr=0.0)
    module = make(**{"optimizer_g" if frozen == "generator" else "optimizer_d": still})
    start = copy.deepcopy(module)
    fit(module, limit_train_batches=1)
    for name in ("generator", "discriminator"):
        pairs = zip(getattr(start, name).parameters(), getattr(module, name).parameters(), strict=True)
        assert all(torch.equal(before, after) for before, after in pairs) == (name == frozen)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_adversarial_term_reaches_the_generator():
    rates = {"optimizer_g": partial(torch.optim.SGD, lr=1.0), "lambda_rec": 0.0}
    norms = [
        fit(make(lambda_adv=weight, **rates), limit_train_batches=1).callback_metrics["content/grad_norm_g"]
        for weight in (0.0, 1.0, 2.0)
    ]
    assert norms[0] == 0
    assert norms[1] > 0
    torch.testing.assert_close(norms[2], 2 * norms[1])


@pytest.mark.parametrize("adversarial", [True, False])
def test_overfits_a_tiny_batch(adversarial):
    module = make(adversarial)
    first = fit(module, limit_train_batches=1).callback_metrics["content/loss_rec"]
    last = fit(module, max_epochs=25, limit_val_batches=0).callback_metrics["content/loss_rec"]
    assert last < first / 4


def test_a_fused_optimizer_takes_the_same_step():
    """With channels last in memory: a gradient laid out differently from its weights would be taken for another.

    Adam's first step is a gradient's sign: where one is next to nothing, rounding moves it (1.2e-3 on one processor).
    """
    moved = []
    for fused in (False, True):
        module = make(optimizer_g=partial(adam, lr=2e-3, fused=fused), optimizer_d=partial(adam, lr=2e-4, fused=fused))
        start = torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])
        fit(module, limit_train_batches=1)
        moved.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]) - start)
    assert (moved[1] - moved[0]).norm() < 1e-2 * moved[0].norm()


def test_learning_rates_are_logged_as_they_were_in_the_batch():
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    logged = fit(make(scheduler=halving)).callback_metrics
    assert logged["content/lr_generator"] == pytest.approx(2e-3 / 2)
    assert logged["content/lr_discriminator"] == pytest.approx(2e-4 / 2)


def test_schedulers_step_with_every_batch():
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    run = fit(make(scheduler=halving))
    rates = [optimizer.param_groups[0]["lr"] for optimizer in run.optimizers]
    assert rates == pytest.approx([2e-3 / 4, 2e-4 / 4])


def test_the_discriminator_waits_for_the_warm_up():
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = make(warm_up=1, scheduler=halving)
    before = [parameter.clone() for parameter in module.discriminator.parameters()]
    waits = make(warm_up=2, scheduler=halving)
    torch.manual_seed(0)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in fit(waits).optimizers]
    assert rates == pytest.approx([2e-3 / 4, 2e-4])
    rates = [optimizer.param_groups[0]["lr"] for optimizer in fit(module).optimizers]
    assert rates == pytest.approx([2e-3 / 4, 2e-4 / 2])
    after = module.discriminator.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_validation_measures_the_hole():
    class Brighter(torch.nn.Module):
        def forward(self, picture, mask):
            return truth + 0.1

    truth = middle(next(iter(loader(2)))["picture"])
    module = tiny_gan(generator=Brighter())
    (measured,) = trainer().validate(module, loader(2), verbose=False)
    expected = {"content/val_l1": 10, "content/val_l2": 1, "content/val_psnr": 20}
    assert measured == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("network", "term"), [("generator", "loss_rec"), ("discriminator", "loss_d_real")])
def test_a_loss_that_is_not_finite_stops_by_name_and_step(network, term):
    module = make()
    spoilt = next(getattr(module, network).parameters())
    batches = []

    def spoil_the_second(*_) -> None:
        batches.append(None)
        if len(batches) == 2:
            spoilt.data.fill_(float("nan"))

    module.generator.register_forward_pre_hook(spoil_the_second)
    with pytest.raises(UserError, match=f"content/{term} became nan at step 1"):
        fit(module)
    others = [parameter for parameter in module.parameters() if parameter is not spoilt]
    assert all(torch.isfinite(parameter).all() for parameter in others)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights():
    module = make(adversarial=False)
    start = copy.deepcopy(module)
    spoilt = next(module.generator.parameters())
    spoilt.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match=r"content/grad_norm_g became (nan|inf) at step 0"):
        fit(module)
    pairs = zip(start.parameters(), module.parameters(), strict=True)
    assert all(torch.equal(before, after) for before, after in pairs)


def test_a_diverged_discriminator_stops_by_name_and_step():
    module = make(optimizer_d=partial(torch.optim.SGD, lr=1e4))
    with pytest.raises(UserError, match=r"content/loss_d_(real|fake) became \S+ at step [12]: start from best"):
        fit(module, max_epochs=2)


@pytest.mark.parametrize(("wins", "warned"), [([True] * 4, True), ([True, True, False, True], False)])
def test_a_discriminator_that_is_always_right_is_warned_of(wins, warned, monkeypatch, caplog):
    """Two batches an epoch; the logits are given, so that it loses when it is told to."""

    class Scripted(torch.nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, picture):  # three times a batch: real, fake, and fake again for the generator
            batch, turn = divmod(self.calls, 3)
            self.calls += 1
            right = 1.0 if turn == 0 else -1.0
            return (picture.mean((1, 2, 3)) * 0 + right * (1 if wins[batch] else -1)) * self.scale

    monkeypatch.setattr("inpaint.content.module.COLLAPSE", 3)
    still = partial(torch.optim.SGD, lr=0.0)
    module = tiny_gan(discriminator=Scripted(), optimizer_g=still, optimizer_d=still)
    fit(module, max_epochs=2)
    assert ("right on everything for 3 batches, at step 2" in caplog.text) == warned


def test_bfloat16_trains_and_fills_in_float32():
    module = make()
    run = fit(module, precision="bf16-mixed")
    assert all(torch.isfinite(value) for value in run.callback_metrics.values())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert module.eval()(batch()["picture"], batch()["mask"]).dtype == torch.float32


def test_a_batch_of_one_is_refused():
    with pytest.raises(UserError, match=r"raise data\.batch_size"):
        trainer().fit(make(), DataLoader(samples(2), batch_size=1))


@pytest.mark.parametrize(
    ("saved", "resumed"),
    [
        (make(filters=8), make()),
        (make(adversarial=False), make()),
        (make(), make(adversarial=False)),
        (tiny_gan(generator={"middle": "channel_wise"}), make(adversarial=False)),
        (tiny_gan(generator={"decoder_activation": "relu"}), make(adversarial=False)),
        (tiny_gan(discriminator=tiny_discriminator("relu")), make()),
    ],
)
def test_a_checkpoint_of_another_architecture_is_not_resumed(saved, resumed, tmp_path):
    fit(saved).save_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"The checkpoint holds another content network: \S+ is .+ there and .+ here"):
        fit(resumed, tmp_path / "other.ckpt", max_epochs=2)


def test_a_checkpoint_that_does_not_say_its_architecture_is_resumed_with_a_warning(tmp_path, caplog):
    fit(make()).save_checkpoint(tmp_path / "old.ckpt")
    checkpoint = torch.load(tmp_path / "old.ckpt", weights_only=True)
    del checkpoint["architecture"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    fit(make(), tmp_path / "old.ckpt", max_epochs=2)
    assert "an earlier version of this program wrote it" in caplog.text
    with pytest.raises(UserError, match=r"encoder\.0\.0\.weight is 4 x 3 x 4 x 4 there and 8 x 3 x 4 x 4 here"):
        fit(make(filters=8), tmp_path / "old.ckpt", max_epochs=2)


@pytest.mark.parametrize("adversarial", [True, False])
def test_a_resumed_run_equals_an_uninterrupted_one(adversarial, tmp_path):
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9)
    whole = make(adversarial, scheduler=decay)
    fit(whole, max_epochs=2)
    fit(make(adversarial, scheduler=decay), max_epochs=1).save_checkpoint(tmp_path / "half.ckpt")
    resumed = make(adversarial, scheduler=decay)
    with torch.no_grad():
        next(resumed.generator.parameters()).zero_()  # the checkpoint has to bring these back
    run = fit(resumed, tmp_path / "half.ckpt", max_epochs=2)
    assert run.current_epoch == 2
    for (name, expected), actual in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name


def test_a_test_step_works_at_128_whatever_the_pictures_size():
    module = make().eval()
    (data,) = DataLoader(samples(2, side=256), batch_size=2)
    with torch.no_grad():
        result = module.test_step(data, 0)
    assert result["id"] == ["p0", "p1"]
    assert len(result["seconds"]) == 2
    assert min(result["seconds"]) > 0
    for name in ("input", "content", "truth"):
        assert result[name].shape == (2, 3, 128, 128)
    outside = ~result["mask"].bool().expand(2, 3, 128, 128)
    assert torch.equal(result["content"][outside], result["input"][outside])
    torch.testing.assert_close(result["input"][0, :, 64, 64], module.mean_colour.flatten())


# Holes anywhere


def mask_of(*box: int) -> torch.Tensor:
    """A hole of these rows and columns: top, bottom, left, right."""
    mask = torch.zeros(1, 128, 128)
    mask[:, box[0] : box[1], box[2] : box[3]] = 1
    return mask


BORDER, ACROSS, OUTSIDE = mask_of(0, 20, 50, 90), mask_of(20, 60, 20, 60), mask_of(100, 120, 5, 25)


@pytest.mark.parametrize("mask", [BORDER, ACROSS, OUTSIDE])
def test_a_training_takes_holes_anywhere(mask):
    """Every step of it: training, validation over the whole hole, test."""
    samples_of = [sample | {"mask": mask} for sample in samples()]
    run, module = trainer(), make()
    loaders = [DataLoader(samples_of, batch_size=2) for _ in range(2)]
    run.fit(module, *loaders)
    (data,) = DataLoader(samples_of, batch_size=4)
    with torch.no_grad():
        filled = module.eval()(data["picture"], data["mask"])
    expected = ((filled - data["picture"]) * data["mask"]).square().sum((1, 2, 3)) / (3 * data["mask"].sum((1, 2, 3)))
    assert run.callback_metrics["content/val_l2"] == pytest.approx(100 * expected.mean().item(), rel=1e-4)
    assert torch.equal(module.test_step(data, 0)["content"], filled)


def test_the_losses_of_a_hole_across_the_border_are_of_the_middle():
    module, data = make(adversarial=False), batch()
    data["mask"] = ACROSS.expand(2, 1, 128, 128)
    known = 1 - middle(data["mask"])
    assert known.sum() == 2 * (64**2 - 28**2)
    prediction = copy.deepcopy(module).predict_middle(data["picture"], data["mask"])
    expected = reconstruction(prediction, middle(data["picture"]), known, ring_weight=10)
    run = trainer(limit_val_batches=0)
    run.fit(module, DataLoader([sample | {"mask": ACROSS} for sample in samples()[:2]], batch_size=2))
    torch.testing.assert_close(run.callback_metrics["content/loss_rec"], expected.detach())


# Further losses


class Own(torch.nn.Module):
    """The mean absolute difference where the middle was not shown, times a number of its own."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, prediction, truth, known):
        assert prediction.shape == truth.shape == (2, 3, 64, 64)
        assert known.shape == (2, 1, 64, 64)
        assert prediction.dtype == torch.float32
        return self.factor * ((1 - known) * (prediction - truth)).abs().mean()


def test_a_further_loss_is_weighted_logged_and_descended():
    losses = {"own": {"weight": 0.5, "loss": Own()}, "bright": {"weight": 0, "loss": lambda p, truth, known: p.mean()}}
    logged = fit(make(adversarial=False, losses=losses), limit_train_batches=1).callback_metrics
    assert set(logged) == ALWAYS | VALIDATION | {"content/loss_own", "content/loss_bright"}
    expected = 0.999 * logged["content/loss_rec"] + 0.5 * logged["content/loss_own"]
    torch.testing.assert_close(logged["content/loss_g"], expected)
    without = fit(make(adversarial=False), limit_train_batches=1).callback_metrics
    torch.testing.assert_close(without["content/loss_rec"], logged["content/loss_rec"])
    assert without["content/grad_norm_g"] != logged["content/grad_norm_g"]


def test_a_further_loss_is_not_trained_saved_or_optimised():
    module = make(losses={"own": {"weight": 1.0, "loss": Own()}})
    assert set(module.state_dict()) == set(make().state_dict())
    optimizers, _ = module.configure_optimizers()
    assert sum(len(group["params"]) for o in optimizers for group in o.param_groups) == len(list(make().parameters()))
    fit(module, limit_train_batches=1)
    assert module.losses["own"]["loss"].factor == 2
    assert module.losses["own"]["loss"].factor.grad is None


def test_a_further_loss_is_moved_to_the_device():
    module = make(losses={"own": {"weight": 1.0, "loss": Own()}}).to("meta")
    assert module.losses["own"]["loss"].factor.device.type == "cpu"
    module.on_fit_start()
    assert module.losses["own"]["loss"].factor.device.type == "meta"


def test_a_further_loss_that_is_not_finite_stops_by_name():
    losses = {"own": {"weight": 0.1, "loss": lambda prediction, truth, known: (prediction - 9).log().mean()}}
    with pytest.raises(UserError, match="content/loss_own became nan at step 0"):
        fit(make(losses=losses))


def test_a_further_loss_that_is_no_number_is_refused():
    losses = {"own": {"weight": 0.1, "loss": lambda prediction, truth, known: (prediction - truth).mean((1, 2, 3))}}
    with pytest.raises(UserError, match=r"losses\.own must return a tensor of one number, .* the shape \(2,\)"):
        fit(make(losses=losses))


# Networks of one's own


class Plain(torch.nn.Module):
    """A generator that says nothing about itself."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, picture, mask):
        return middle(self.layer(picture)).sigmoid()


class Judge(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 4, stride=4)

    def forward(self, picture):
        return self.layer(picture).mean((1, 2, 3))


def test_what_is_frozen_of_an_own_discriminator_stays_so():
    """Such as the features of a trained network that it looks at."""
    judge = Judge()
    judge.features = torch.nn.Conv2d(3, 3, 1).requires_grad_(False)
    judge.register_forward_pre_hook(lambda module, given: (module.features(given[0]),))
    start = copy.deepcopy(judge)
    fit(make(discriminator=judge))
    assert [name for name, p in judge.named_parameters() if p.requires_grad] == ["layer.weight", "layer.bias"]
    assert torch.equal(judge.features.weight, start.features.weight)
    assert not torch.equal(judge.layer.weight, start.layer.weight)


def test_own_networks_are_trained_and_recorded_by_their_class(tmp_path):
    module = make(generator=Plain(), discriminator=Judge())
    fit(module).save_checkpoint(tmp_path / "own.ckpt")
    stored = torch.load(tmp_path / "own.ckpt", weights_only=True)
    names = {name: {"class": f"tests.content.test_module.{name}"} for name in ("Plain", "Judge")}
    assert stored["architecture"] == {"generator": names["Plain"], "discriminator": names["Judge"]}
    fit(make(generator=Plain(), discriminator=Judge()), tmp_path / "own.ckpt", max_epochs=2)
    with pytest.raises(UserError, match=r"class is '\S+Plain' there and 'ContextEncoder' here"):
        fit(make(discriminator=Judge()), tmp_path / "own.ckpt", max_epochs=2)
