"""Learning rates over a training, by known answers."""

import math
from functools import partial

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler

from inpaint.content.schedules import constant, cosine
from inpaint.errors import UserError
from tests.content.test_module import fit, make


def optimizer() -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)


def rates(scheduler: LRScheduler, batches: int) -> list[float]:
    """What each of the batches is trained with."""
    found = []
    for _ in range(batches):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_constant_is_the_rate_itself() -> None:
    assert rates(constant(optimizer()), 8) == [0.3] * 8


def test_a_cosine_s_wave() -> None:
    found = rates(cosine(optimizer(), warm_up=0, batches=4), 7)
    half = math.sqrt(2) / 2
    assert found == pytest.approx([0.3, 0.15 * (1 + half), 0.15, 0.15 * (1 - half), 0, 0, 0])


def test_a_warm_up_comes_first() -> None:
    found = rates(cosine(optimizer(), warm_up=2, batches=6), 7)
    assert found == pytest.approx([0.1, 0.2, *rates(cosine(optimizer(), warm_up=0, batches=4), 5)])


@pytest.mark.parametrize(("warm_up", "batches"), [(-1, 4), (4, 4), (0, 0), (0, None)])
def test_a_cosine_that_is_refused(warm_up: int, batches: int | None) -> None:
    with pytest.raises(UserError, match="warm_up is"):
        cosine(optimizer(), warm_up, batches)


def test_a_cosine_goes_on_from_a_checkpoint_s_state() -> None:
    """Plain values alone: a longer training resumed has its own end."""
    first = cosine(optimizer(), warm_up=2, batches=6)
    whole = rates(cosine(optimizer(), warm_up=2, batches=8), 8)
    rates(first, 4)
    state = first.state_dict()
    assert not any(callable(value) for value in state.values())
    resumed = cosine(optimizer(), warm_up=2, batches=8)
    resumed.load_state_dict(state)
    resumed.step()
    assert resumed.get_last_lr()[0] == pytest.approx(whole[5])


def test_batches_left_open_are_the_training_s() -> None:
    """Two epochs of two batches, the discriminator's but for the warm-up: both rates end at 0."""
    module = make(scheduler=partial(cosine, warm_up=0, batches=None), warm_up=1)
    run = fit(module, max_epochs=2)
    assert [group["lr"] for each in run.optimizers for group in each.param_groups] == pytest.approx([0, 0])
    run = fit(make(scheduler=partial(cosine, warm_up=0, batches=None)), max_epochs=2, max_steps=3)
    assert [group["lr"] for each in run.optimizers for group in each.param_groups] == pytest.approx([0, 0])
    run = fit(make(scheduler=partial(cosine, warm_up=0, batches=8)), max_epochs=2)
    assert [group["lr"] for each in run.optimizers for group in each.param_groups] == pytest.approx([1e-3, 1e-4])


def test_a_discriminator_that_never_steps_is_given_the_whole_length() -> None:
    """A training shorter than the warm-up before the discriminator takes part."""
    module = make(scheduler=partial(cosine, warm_up=2, batches=None), warm_up=10)
    run = fit(module, max_epochs=2)
    assert [group["lr"] for each in run.optimizers for group in each.param_groups] == pytest.approx([0, 2e-4 / 3])


def test_a_scheduler_that_wants_a_loss_is_refused() -> None:
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=1)
    with pytest.raises(UserError, match="The scheduler ReduceLROnPlateau wants a loss at each step"):
        fit(make(scheduler=plateau))


def test_a_training_without_an_end_is_refused() -> None:
    with pytest.raises(UserError, match="has no end, but its scheduler needs one"):
        fit(make(scheduler=partial(cosine, warm_up=0, batches=None)), max_epochs=-1)
