"""Steps taken for several batches, clipped, with float16's scaler, and counted in batches."""

import copy
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch.utils.data import DataLoader

from inpaint.content.losses import reconstruction
from inpaint.content.module import ContentGAN
from inpaint.errors import UserError
from inpaint.imaging.pixels import middle
from inpaint.runs.checkpoints import Averaged, Checkpoints
from tests.content.test_module import make, samples, trainer

SGD = partial(torch.optim.SGD, lr=0.5)
STILL = {"optimizer_g": partial(torch.optim.SGD, lr=0.0), "optimizer_d": partial(torch.optim.SGD, lr=0.0)}


class Steps(pl.Callback):
    """After which batches the weights of each network had changed."""

    def __init__(self) -> None:
        self.changed: dict[str, list[int]] = {"generator": [], "discriminator": []}

    def weights(self, module: Any, name: str) -> torch.Tensor:
        return torch.cat([p.detach().flatten().clone() for p in getattr(module, name).parameters()])

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self.before = {name: self.weights(module, name) for name in self.changed if getattr(module, name)}

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        for name, before in self.before.items():
            if not torch.equal(before, self.weights(module, name)):
                self.changed[name].append(trainer.fit_loop.total_batch_idx)


def fit(module: ContentGAN, batches: int = 4, ckpt_path: Path | None = None, **options: Any) -> pl.Trainer:
    """Trains on so many batches of two pictures an epoch."""
    run = trainer(**({"limit_val_batches": 0} | options))
    run.fit(
        module,
        DataLoader(samples(2 * batches), batch_size=2),
        DataLoader(samples(2), batch_size=2),
        ckpt_path=ckpt_path,
    )
    return run


# Accumulation


def test_every_network_steps_once_a_group_and_an_epoch_ends_with_one() -> None:
    steps = Steps()
    module = make(accumulate_batches=3, optimizer_g=SGD, optimizer_d=SGD)
    run = fit(module, batches=7, max_epochs=2, callbacks=[steps])
    assert steps.changed == {"generator": [2, 5, 6, 9, 12, 13], "discriminator": [2, 5, 6, 9, 12, 13]}
    assert run.global_step == 14
    assert not module.gathering


def test_a_step_descends_the_mean_over_its_batches() -> None:
    """Where nothing depends on a batch's own statistics, two batches of two are one of four."""
    steps = []
    for accumulate, size in ((2, 2), (1, 4)):
        module = make(adversarial=False, accumulate_batches=accumulate, optimizer_g=SGD).eval()
        module.generator.train = lambda mode=True, network=module.generator: network  # batch norm stays as it is
        run = trainer(limit_val_batches=0)
        run.fit(module, DataLoader(samples(4), batch_size=size))
        steps.append([parameter.detach().clone() for parameter in module.parameters()])
    for one, other in zip(*steps, strict=True):
        torch.testing.assert_close(one, other)


def test_a_short_last_group_is_a_mean_as_well() -> None:
    """Of its one batch: as where each batch is a group."""
    moved = []
    for accumulate in (1, 3):
        module = make(adversarial=False, accumulate_batches=accumulate, optimizer_g=SGD)
        fit(module, batches=1)
        moved.append([parameter.detach().clone() for parameter in module.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*moved, strict=True))


def test_a_group_ends_with_the_last_step() -> None:
    steps = Steps()
    run = fit(make(accumulate_batches=3, optimizer_g=SGD), batches=7, max_steps=5, max_epochs=-1, callbacks=[steps])
    assert steps.changed["generator"] == [2, 4]
    assert run.global_step == 5


def test_the_discriminator_begins_with_a_group() -> None:
    steps = Steps()
    module = make(accumulate_batches=2, warm_up=3, optimizer_g=SGD, optimizer_d=SGD)
    fit(module, batches=8, callbacks=[steps])
    assert steps.changed == {"generator": [1, 3, 5, 7], "discriminator": [5, 7]}


def test_schedulers_count_batches_whatever_a_group_is() -> None:
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    run = fit(make(accumulate_batches=3, scheduler=halving), batches=5)
    assert [optimizer.param_groups[0]["lr"] for optimizer in run.optimizers] == pytest.approx([2e-3 / 32, 2e-4 / 32])


def test_a_validation_within_a_group_leaves_what_it_has_gathered() -> None:
    weights = []
    for options in ({}, {"val_check_interval": 1, "limit_val_batches": 1}):
        module = make(accumulate_batches=4)
        fit(module, **options)
        weights.append(module.state_dict())
    assert all(torch.equal(*pair) for pair in zip(*(state.values() for state in weights), strict=True))


def test_the_norm_that_is_logged_is_of_the_mean_up_to_the_batch() -> None:
    """Equal batches: the mean is each one's gradient."""
    norms: list[float] = []

    class Norms(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            norms.append(float(trainer._logger_connector.metrics["log"]["content/grad_norm_g"]))

    run = trainer(limit_val_batches=0, callbacks=[Norms()])
    run.fit(make(accumulate_batches=3, adversarial=False), DataLoader(3 * samples(2), batch_size=2))
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-4)


@pytest.mark.parametrize("averaging", [False, True])
def test_a_checkpoint_waits_for_the_step_and_resumes_exactly(averaging: bool, tmp_path: Path) -> None:
    """One is due after each batch; the training is killed in the second epoch, within a group."""

    class Kill(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.fit_loop.total_batch_idx == 10:
                raise KeyError("killed")

    def callbacks(folder: Path, *more: pl.Callback) -> list[pl.Callback]:
        keeping = Checkpoints(folder, keep=1, every_n_batches=1, every_n_minutes=None)
        return [keeping, *more, *([Averaged(0.5)] if averaging else [])]

    options: dict[str, Any] = {"batches": 7, "max_epochs": 2, "enable_checkpointing": True, "limit_val_batches": 1}
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.9)
    whole = make(accumulate_batches=3, scheduler=halving)
    fit(whole, callbacks=callbacks(tmp_path / "whole"), **options)
    killed = make(accumulate_batches=3, scheduler=halving)
    with pytest.raises(KeyError, match="killed"):
        fit(killed, callbacks=callbacks(tmp_path / "killed", Kill()), **options)
    checkpoint = tmp_path / "killed" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 10
    resumed = make(accumulate_batches=3, scheduler=halving)

    class InTheMiddle(DataLoader):
        """Goes on where the epoch was left, as `inpaint.data.loading.TrainingLoader` does."""

        def state_dict(self) -> dict[str, int]:
            return {}

        def load_state_dict(self, state: dict[str, int]) -> None:
            pass

        def __iter__(self) -> Any:
            return itertools.islice(super().__iter__(), 3, None)

    run = trainer(
        **{key: value for key, value in options.items() if key != "batches"}, callbacks=callbacks(tmp_path / "on")
    )
    run.fit(resumed, InTheMiddle(samples(14), batch_size=2), DataLoader(samples(2), batch_size=2), ckpt_path=checkpoint)
    assert run.global_step == 14
    for (name, expected), actual in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name


# Clipping


def test_a_gradient_is_shortened_to_the_norm_and_logged_as_it_was() -> None:
    logged = {}
    for clip in (None, 1e-3, 1e9):
        module = make(adversarial=False, clip_norm=clip, optimizer_g=SGD)
        before = torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])
        norm = fit(module, batches=1).callback_metrics["content/grad_norm_g"]
        step = torch.cat([parameter.detach().flatten() for parameter in module.parameters()]) - before
        logged[clip] = norm, step
    assert logged[None][0] == logged[1e-3][0] == logged[1e9][0]
    torch.testing.assert_close(logged[None][1], logged[1e9][1])
    torch.testing.assert_close(logged[1e-3][1].norm().item(), 0.5 * 1e-3, rtol=1e-3, atol=0)
    cosine = torch.nn.functional.cosine_similarity(logged[None][1], logged[1e-3][1], 0)
    assert cosine == pytest.approx(1, abs=1e-4)


def test_each_network_is_clipped_by_itself() -> None:
    module = make(clip_norm=1e-3, optimizer_g=SGD, optimizer_d=SGD)
    start = copy.deepcopy(module)
    fit(module, batches=1)
    for name in ("generator", "discriminator"):
        pairs = zip(getattr(start, name).parameters(), getattr(module, name).parameters(), strict=True)
        step = torch.cat([(after - before).detach().flatten() for before, after in pairs])
        assert step.norm().item() == pytest.approx(0.5e-3, rel=1e-2)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("accumulate_batches", 0, "accumulate_batches is 0, but must be a whole number of at least 1"),
        ("accumulate_batches", 1.5, "accumulate_batches is 1.5"),
        ("clip_norm", 0, "clip_norm is 0, but must be above 0, and finite"),
        ("clip_norm", float("inf"), "clip_norm is inf"),
    ],
)
def test_options_that_are_refused(option: str, value: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(**{option: value})


# float16, whose gradients are scaled: on GPUs; here the same arithmetic on the processor


def half(scale: float = 2.0**10, growth: int = 2000) -> MixedPrecision:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=growth)
    return MixedPrecision("16-mixed", "cpu", scaler)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clip", [None, 0.02])
def test_float16_takes_the_steps_of_float32(fused: bool, clip: float | None) -> None:
    """The norm that is logged is the gradient's own, clipping is by it, and fused optimisers do the same."""
    sgd = partial(torch.optim.SGD, lr=0.1, fused=fused)
    found = []
    for plugins in ([], [half()]):
        module = make(clip_norm=clip, optimizer_g=sgd, optimizer_d=sgd)
        before = torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])
        logged = fit(module, batches=1, plugins=plugins).callback_metrics
        step = torch.cat([parameter.detach().flatten() for parameter in module.parameters()]) - before
        found.append((logged["content/grad_norm_g"], logged["content/grad_norm_d"], step))
    exact, mixed = found
    torch.testing.assert_close(mixed[0], exact[0], rtol=0.1, atol=0)
    torch.testing.assert_close(mixed[1], exact[1], rtol=0.1, atol=0)
    assert (mixed[2] - exact[2]).norm() < 0.2 * exact[2].norm()


def test_float16_leaves_out_a_step_that_overflows_and_goes_on() -> None:
    module, plugin = make(adversarial=False, clip_norm=1.0), half(scale=2.0**40)
    start = copy.deepcopy(module)
    run = fit(module, batches=1, plugins=[plugin])
    assert run.global_step == 1
    assert plugin.scaler.get_scale() == 2.0**39
    pairs = zip(start.parameters(), module.parameters(), strict=True)
    assert all(torch.equal(before, after) for before, after in pairs)


def test_what_is_gathered_is_of_one_scale_when_the_scaler_changes_its_own() -> None:
    """It doubles after every step: the discriminator's, before the generator's last batch."""
    norms = []
    for plugins in ([], [half(scale=2.0**6, growth=1)]):
        module = make(accumulate_batches=2, **STILL)
        norms.append(fit(module, batches=2, plugins=plugins).callback_metrics["content/grad_norm_g"])
    torch.testing.assert_close(norms[1], norms[0], rtol=0.1, atol=0)


# Steps are batches


@pytest.mark.parametrize("adversarial", [True, False])
def test_max_steps_counts_batches(adversarial: bool) -> None:
    run = fit(make(adversarial), max_steps=3, max_epochs=-1)
    assert run.global_step == run.fit_loop.total_batch_idx + 1 == 3


def of_an_earlier_version(path: Path, averaged: bool = False) -> None:
    """Makes a checkpoint as it was when each step of each of two optimisers was counted."""
    checkpoint = torch.load(path, weights_only=True)
    steps = checkpoint["loops"]["fit_loop"]["epoch_loop.manual_optimization.optim_step_progress"]
    steps["total"] = {"ready": 2 * checkpoint["global_step"], "completed": 2 * checkpoint["global_step"]}
    checkpoint["global_step"] *= 2
    if averaged:
        checkpoint["callbacks"]["Averaged"]["latest_update_step"] *= 2
    torch.save(checkpoint, path)


@pytest.mark.parametrize("averaging", [False, True])
def test_a_checkpoint_that_counted_optimizer_steps_is_resumed_as_one_of_batches(
    averaging: bool, tmp_path: Path
) -> None:
    """To the same weights as a training that nothing interrupted, and to the same number of batches."""
    whole, resumed = make(), make()
    options: dict[str, Any] = {"enable_checkpointing": True}
    keeping = partial(Checkpoints, keep=1, every_n_batches=None, every_n_minutes=None)
    averages = [Averaged(0.5)] if averaging else []
    fit(whole, max_epochs=2, callbacks=[keeping(tmp_path / "whole"), *copy.deepcopy(averages)], **options)
    fit(make(), callbacks=[keeping(tmp_path), *copy.deepcopy(averages)], **options)
    of_an_earlier_version(tmp_path / "last.ckpt", averaging)
    callbacks = [keeping(tmp_path / "resumed"), *averages]
    run = fit(resumed, ckpt_path=tmp_path / "last.ckpt", max_epochs=5, max_steps=8, callbacks=callbacks, **options)
    assert run.global_step == 8
    for (name, expected), actual in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name


@pytest.mark.parametrize("validated", [0, 1])
def test_a_training_to_a_number_of_batches_resumes_at_an_epoch_s_end(validated: int, tmp_path: Path) -> None:
    """Lightning alone counts the epoch twice."""
    options: dict[str, Any] = {"max_epochs": 2, "max_steps": 7, "enable_checkpointing": True}
    options["limit_val_batches"] = validated
    epochs: list[int] = []

    class Watch(pl.Callback):
        def __init__(self, killed_at: int) -> None:
            self.killed_at = killed_at

        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            epochs.append(trainer.current_epoch)
            if trainer.fit_loop.total_batch_idx == self.killed_at:
                raise KeyError("killed")

    killed, resumed = make(), make()
    with pytest.raises(KeyError, match="killed"):
        fit(killed, callbacks=[Watch(4), Checkpoints(tmp_path, 1, None, None)], **options)
    epochs.clear()
    callbacks = [Watch(99), Checkpoints(tmp_path, 1, None, None)]
    run = fit(resumed, ckpt_path=tmp_path / "last.ckpt", callbacks=callbacks, **options)
    assert (run.global_step, epochs) == (7, [1, 1, 1])


def test_a_gradient_is_the_losses_own() -> None:
    """For one batch, with nothing gathered: no factor of groups or scales anywhere."""
    module = make(adversarial=False, optimizer_g=SGD, lambda_rec=1.0)
    start = copy.deepcopy(module)
    data = next(iter(DataLoader(samples(2), batch_size=2)))
    prediction = start.predict_middle(data["picture"], data["mask"])
    reconstruction(prediction, middle(data["picture"]), 1 - middle(data["mask"]), 10.0).backward()
    fit(module, batches=1)
    for before, after in zip(start.parameters(), module.parameters(), strict=True):
        assert torch.equal(after, before - 0.5 * before.grad)
