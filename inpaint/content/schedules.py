"""Learning rates over a training: functions that make a scheduler of an optimiser. They count batches."""

import inspect
import math
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler

from inpaint.errors import UserError

MakeScheduler = Callable[[Optimizer], LRScheduler]


def constant(optimizer: Optimizer) -> LRScheduler:
    """The optimiser's own rate throughout."""
    return ConstantLR(optimizer, factor=1.0)


def cosine(optimizer: Optimizer, warm_up: int, batches: int | None) -> LRScheduler:
    """Up from 0 in a straight line in `warm_up` batches, and down to 0 again in half a cosine's wave.

    Args:
        warm_up: batches in which the rate rises to the optimiser's own, at least 0.
        batches: when it is 0 again, the warm-up included; it stays there.

    Raises:
        UserError: the warm-up is negative, or as long as the whole.
    """
    if batches is None or not 0 <= warm_up < batches:
        raise UserError(
            f"The scheduler's warm_up is {warm_up}, but must be at least 0 and below its number of batches, {batches} "
            "(scheduler.batches; where that is null, the optimiser's own number)."
        )

    def factor(batch: int) -> float:
        if batch < warm_up:
            return (batch + 1) / (warm_up + 1)
        done = (batch - warm_up) / (batches - warm_up)
        return (1 + math.cos(math.pi * min(done, 1))) / 2

    return LambdaLR(optimizer, factor)


def wants_a_loss(scheduler: LRScheduler) -> bool:
    """Whether its step takes a value that it goes by, as that of `ReduceLROnPlateau` does."""
    try:
        inspect.signature(scheduler.step).bind()
    except TypeError:
        return True
    return False


def leaves_batches_open(scheduler: MakeScheduler) -> bool:
    """Whether its argument `batches` is None: it is to take as long as the training."""
    return isinstance(scheduler, partial) and scheduler.keywords.get("batches", 0) is None


def with_batches(scheduler: Callable[..., LRScheduler], batches: float) -> MakeScheduler:
    """The same over so many batches; raises a UserError where a training has no end."""
    if not batches < math.inf:
        raise UserError("The training has no end, but its scheduler needs one: set the scheduler's batches.")
    return partial(scheduler, batches=max(int(batches), 1))
