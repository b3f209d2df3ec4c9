"""Steps of several optimisers in one training: gathered, clipped, refused where not finite, and counted in batches."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from inpaint.errors import UserError


class Descent(pl.LightningModule):
    """Takes the optimisers' steps by hand (Lightning's manual optimisation), one for each group of batches.

    A group is `accumulate_batches` batches in a row; an epoch's last one, and the last one before `trainer.max_steps`,
    may be shorter. Gradients are the mean over the group's batches, and every network steps in its last batch: so an
    epoch, and a training to its end, leave nothing gathered. Checkpoints are saved between groups
    (`inpaint.runs.checkpoints`), and hold no gradients. What stops a training within a group (`trainer.max_time`) drops
    what the group has gathered.

    `trainer.global_step`, hence `trainer.max_steps`, counts batches, where Lightning counts steps of each optimiser.

    A training step calls `begin_batch`, then `descend` for each network, then `end_batch`.

    Args:
        accumulate_batches: how many batches a step is taken for, at least 1.
        clip_norm: the L2 norm that each network's gradient is shortened to where it is longer; None: never.

    Raises:
        UserError: an argument is out of its range. While training: a gradient that is no longer finite, before it
            reaches the weights.
    """

    def __init__(self, accumulate_batches: int, clip_norm: float | None) -> None:
        super().__init__()
        if not isinstance(accumulate_batches, int) or accumulate_batches < 1:
            raise UserError(f"accumulate_batches is {accumulate_batches!r}, but must be a whole number of at least 1.")
        if clip_norm is not None and not 0 < clip_norm < math.inf:
            raise UserError(f"clip_norm is {clip_norm}, but must be above 0, and finite; null clips nothing.")
        self.automatic_optimization = False
        self.accumulate_batches, self.clip_norm = accumulate_batches, clip_norm
        self.gathered = 0  # batches whose gradients wait for a step
        self.group = 1  # batches of the present group

    def begin_batch(self, batch_idx: int) -> None:
        """Begins a batch, the `batch_idx`-th of its epoch, and where none waits a new group."""
        if self.gathered == 0:
            trainer = self.trainer
            left = trainer.num_training_batches - batch_idx
            steps_left = trainer.max_steps - trainer.global_step if trainer.max_steps > 0 else math.inf
            self.group = max(int(min(self.accumulate_batches, left, steps_left)), 1)

    @property
    def steps_now(self) -> bool:
        """Whether the networks step in the present batch: it is the last one of its group."""
        return self.gathered + 1 >= self.group or self.trainer.is_last_batch

    @property
    def gathering(self) -> bool:
        """Whether, between two batches, gradients wait for a step: `inpaint.runs.checkpoints` asks for it."""
        return self.gathered > 0

    def descend(self, name: str, loss: Tensor, network: nn.Module, optimizer: Any) -> Tensor:
        """Adds the loss's gradient to the network's, and in the last batch of a group takes a step down.

        Returns:
            The L2 norm of the gradient, before it is clipped: of the mean over the group's batches up to this one. It
            is logged as `name`. Where float16 has made it infinite the step is left out.
        """
        if self.gathered == 0:
            optimizer.zero_grad()
        self.manual_backward(loss / self.group)
        parameters = [parameter for parameter in network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        scaler = self.trainer.scaler  # of float16: until the step itself gradients are longer by its scale
        scale = 1.0 if scaler is None else scaler.get_scale()
        norm = norm / scale
        if scaler is None:  # that of float16 leaves out the step by itself, and then scales less
            self.refuse_divergence(name, norm)
        if self.steps_now:
            if self.clip_norm is not None:
                nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)
            optimizer.step()
            if scaler is not None and self.group > 1 and (change := scaler.get_scale() / scale) != 1:
                for parameter in self.parameters():  # what another network has gathered has to be of one scale
                    if parameter.grad is not None:
                        parameter.grad.mul_(change)
        return norm * (self.group / (self.gathered + 1))

    def end_batch(self) -> None:
        """Counts the batch."""
        self.gathered = 0 if self.steps_now else self.gathered + 1
        loop = self.trainer.fit_loop.epoch_loop
        steps = loop.manual_optimization.optim_step_progress.total
        steps.ready = steps.completed = loop.batch_progress.total.ready

    def refuse_divergence(self, name: str, value: Tensor, limit: float = math.inf) -> Tensor:
        """Returns a loss or norm as it is, and stops the training if it is not a number or has reached the limit."""
        if not value < limit:
            raise UserError(
                f"content/{name} became {value.item():.4g} at step {self.trainer.fit_loop.total_batch_idx}: "
                "start from best.ckpt (model.weights) with lower learning rates, or train in float32."
            )
        return value

    def on_train_start(self) -> None:
        self.gathered = 0

    def on_validation_model_zero_grad(self) -> None:
        """Frees the gradients for a validation, unless a group goes on after it."""
        if not self.gathering:
            super().on_validation_model_zero_grad()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes a checkpoint that counted the steps of each optimiser, as earlier versions did, as one of batches."""
        loop = checkpoint["loops"]["fit_loop"]
        batches = loop["epoch_loop.batch_progress"]["total"]["ready"]
        steps = loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]
        steps["ready"] = steps["completed"] = checkpoint["global_step"] = batches


@contextmanager
def held_fixed(network: nn.Module) -> Iterator[None]:
    """Within it gradients pass through the network, and none is gathered in it; what was frozen before stays frozen."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
