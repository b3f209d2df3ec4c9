"""Trains the content network; a thin wrapper over `networks` and `losses`."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inpaint.content.losses import hole_errors, reconstruction, takes_for_fake, takes_for_real
from inpaint.content.networks import SIDE
from inpaint.content.weights import STARTER, load_weights, same_shapes
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, middle, resize, resize_masked

log = logging.getLogger(__name__)
COLLAPSE = 500
"""Batches in a row on which a discriminator that is always right has won for good."""
DIVERGED = 100.0
"""A loss of the discriminator, in nats: a mean logit that far on the wrong side has left all that sigmoids resolve."""
Batch = dict[str, Any]


class ContentGAN(pl.LightningModule):
    """The content network f with its discriminator D (Yang et al. 2017, section 3.3; Pathak et al. 2016).

    With R the hole, x_0 the picture with R filled by the mean colour, h the middle of the picture, and the
    symbols of the papers, every batch is::

        f(x_0)    the predicted middle
        L_rec   = mean of w (f(x_0) - h)^2      w = ring_weight where x_0 shows the middle, else 1
        theta_D <- optimizer_d, a step down     -log D(h) - log(1 - D(f(x_0)))      f held fixed
        L_adv   = -log D(f(x_0))                                                    D as updated, held fixed
        theta_f <- optimizer_g, a step down     lambda_rec L_rec + lambda_adv L_adv
        each scheduler: a step

    Without a discriminator, and in the first `warm_up` batches, the lines of D and L_adv fall away. Either way the
    module steps its optimisers itself, so `trainer.global_step` (hence `max_steps`) counts optimiser steps: two a
    batch with the discriminator, one without. Schedulers and the logged steps count batches.

    Logged, all under `content/`:

    - every batch `loss_rec`, `loss_g` (the sum that f descends) and `grad_norm_g`; with a discriminator also
      `loss_adv`, `loss_d_real`, `loss_d_fake`, `grad_norm_d`, and what D got right before its step:
      `accuracy_real`, `accuracy_fake`;
    - every validation `val_l1`, `val_l2` (percent) and `val_psnr` (dB), means over the pictures' holes.

    Args:
        generator: f, from pictures [batch, 3, 128, 128] and masks to middles [batch, 3, 64, 64], in [0, 1].
        discriminator: D, from middles to logits [batch]; None trains by L_rec alone.
        optimizer_g, optimizer_d: make an optimiser from parameters;
            without a discriminator the second is not used.
        scheduler: makes a learning-rate scheduler from an optimiser, one for each; it is stepped every batch.
        warm_up: batches trained by L_rec alone, before the discriminator takes part (as Iizuka et al. 2017 do).
        mean_colour: red, green and blue in [0, 1], for the hole. It is kept with the weights, because
            predictions need the colour of the training.
        weights: what to take the generator from (`load_weights`): a checkpoint of an earlier training, or "starter",
            the network that ships with the package.

    A discriminator that was right on every picture of `COLLAPSE` batches in a row is warned of: f then learns
    nothing from it.

    Raises:
        UserError: a discriminator without `optimizer_d`; a mean colour that is not three numbers in [0, 1]; a
            negative weight; a layer of width 0; what an optimiser or scheduler refuses;
            while training, a batch of one picture, a loss or gradient that is no longer finite, or a loss of the
            discriminator above `DIVERGED`, before it reaches the weights; when resuming, another architecture.
    """

    mean_colour: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module | None,
        optimizer_g: Callable[[Iterable[nn.Parameter]], Optimizer],
        optimizer_d: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        lambda_rec: float = 0.999,
        lambda_adv: float = 0.001,
        warm_up: int = 0,
        ring_weight: float = 10.0,
        mean_colour: Sequence[float] = (0.485, 0.456, 0.406),
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        if discriminator is not None and optimizer_d is None:
            raise UserError(
                "The content network has a discriminator but no optimizer_d: give one, or discriminator=null."
            )
        if len(mean_colour) != 3 or not all(0 <= value <= 1 for value in mean_colour):
            raise UserError(f"mean_colour is {list(mean_colour)}: it must be red, green and blue, each in [0, 1].")
        for name, weight in (("lambda_rec", lambda_rec), ("lambda_adv", lambda_adv), ("ring_weight", ring_weight)):
            if not 0 <= weight < math.inf:
                raise UserError(f"{name} is {weight}, but a weight must be at least 0, and finite.")
        if isinstance(warm_up, bool) or not isinstance(warm_up, int):
            raise UserError(f"warm_up is {warm_up!r}, but must be a whole number of batches.")
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if network is not None and any(parameter.numel() == 0 for parameter in network.parameters()):
                raise UserError(f"The {name} has a layer of width 0: filters and bottleneck must be at least 1.")
        for name, make in (("optimizer_g", optimizer_g), ("optimizer_d", optimizer_d), ("scheduler", scheduler)):
            if make is not None and not callable(make):
                raise UserError(f"{name} is {make!r}, but must make one: give a _target_ with _partial_: true.")
        self.generator = generator
        self.discriminator = discriminator
        self.optimizer_g = optimizer_g
        self.optimizer_d = optimizer_d
        self.scheduler = scheduler
        self.lambda_rec = lambda_rec
        self.lambda_adv = lambda_adv
        self.warm_up = warm_up
        self.ring_weight = ring_weight
        self.register_buffer("mean_colour", torch.tensor([*mean_colour], dtype=torch.float32).view(3, 1, 1))
        self.automatic_optimization = False
        self.always_right = 0  # batches in a row on which the discriminator was
        self.to(memory_format=torch.channels_last)  # what convolutions run fastest in, on every device
        self.weight_files: dict[str, Path] = dict(getattr(generator, "weight_files", {}))
        if weights is not None:
            self.weight_files["content"] = STARTER if str(weights) == "starter" else Path(weights)
            load_weights(self, self.weight_files["content"])

    def forward(
        self, picture: Float[Tensor, "batch 3 128 128"], mask: Float[Tensor, "batch 1 128 128"]
    ) -> Float[Tensor, "batch 3 128 128"]:
        """The picture with its hole filled by the network, pixels outside the hole untouched.

        What `picture` holds in the hole does not matter, as long as it is finite.

        Raises:
            UserError: the picture is not 128 x 128, or a pixel of the hole lies outside the middle 64 x 64.
        """
        prediction = self.predict_middle(picture, mask).float().clamp(0, 1)
        return composite(picture, F.pad(prediction, [SIDE // 4] * 4), mask)

    def predict_middle(
        self, picture: Float[Tensor, "batch 3 128 128"], mask: Float[Tensor, "batch 1 128 128"]
    ) -> Float[Tensor, "batch 3 64 64"]:
        """The network's own prediction, also of the middle's known pixels. Raises as `forward` does."""
        if picture.shape[-2:] != (SIDE, SIDE) or mask.shape[-2:] != (SIDE, SIDE):
            raise UserError(
                f"The content network works at {SIDE} x {SIDE}, but the picture is {picture.shape[-2]} x "
                f"{picture.shape[-1]} and its mask {mask.shape[-2]} x {mask.shape[-1]}: resize them first."
            )
        outside = mask.clone()
        middle(outside).zero_()
        if outside.any():
            raise UserError(
                "A hole reaches outside the middle half of its picture, and the content network fills only "
                "that: move the hole to the middle or make it smaller."
            )
        return self.generator(composite(picture, self.mean_colour.expand_as(picture), mask), mask)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        picture, mask = batch["picture"], batch["mask"]
        if len(picture) < 2:
            raise UserError(
                f"A training batch holds {len(picture)} pictures, but batch normalisation needs at least 2: "
                "raise data.batch_size."
            )
        optimizer_g, *optimizer_d = as_list(self.optimizers())
        truth = middle(picture)
        prediction = self.predict_middle(picture, mask)
        loss_rec = reconstruction(prediction, truth, 1 - middle(mask), self.ring_weight)
        logged = {"loss_rec": self.sound("loss_rec", loss_rec)}
        loss_g = self.lambda_rec * loss_rec

        adversarial = self.trainer.fit_loop.total_batch_idx >= self.warm_up
        if self.discriminator is not None and adversarial:
            logged |= self.discriminator_step(self.discriminator, optimizer_d[0], truth, prediction.detach())
            self.discriminator.requires_grad_(False)  # the next pass only carries the gradient to f
            loss_adv = takes_for_real(self.discriminator(prediction))
            self.discriminator.requires_grad_(True)
            logged["loss_adv"] = self.sound("loss_adv", loss_adv)
            loss_g = loss_g + self.lambda_adv * loss_adv

        logged["loss_g"] = loss_g
        logged["grad_norm_g"] = self.descend("grad_norm_g", loss_g, self.generator, optimizer_g)
        for scheduler in as_list(self.lr_schedulers())[: 2 if adversarial else 1]:
            scheduler.step()
        for name, value in logged.items():
            self.log(f"content/{name}", value.detach(), batch_size=len(picture), prog_bar=name == "loss_rec")

    def discriminator_step(
        self,
        discriminator: nn.Module,
        optimizer: Any,
        truth: Float[Tensor, "batch 3 64 64"],
        prediction: Float[Tensor, "batch 3 64 64"],
    ) -> dict[str, Tensor]:
        real, fake = (
            discriminator(truth),
            discriminator(prediction),
        )  # apart: each has its own batch statistics
        loss_real = self.sound("loss_d_real", takes_for_real(real), DIVERGED)
        loss_fake = self.sound("loss_d_fake", takes_for_fake(fake), DIVERGED)
        accuracy_real, accuracy_fake = (real > 0).float().mean(), (fake < 0).float().mean()
        self.always_right = self.always_right + 1 if accuracy_real + accuracy_fake == 2 else 0
        if self.always_right == COLLAPSE:
            log.warning(
                "The discriminator has been right on everything for %d batches, at step %d: the generator learns "
                "nothing from it any more; lower its learning rate (optimizer_d).",
                COLLAPSE,
                self.trainer.fit_loop.total_batch_idx,
            )
        return {
            "loss_d_real": loss_real,
            "loss_d_fake": loss_fake,
            "accuracy_real": accuracy_real,
            "accuracy_fake": accuracy_fake,
            "grad_norm_d": self.descend("grad_norm_d", loss_real + loss_fake, discriminator, optimizer),
        }

    def descend(self, name: str, loss: Tensor, network: nn.Module, optimizer: Any) -> Tensor:
        """One optimiser step; returns the L2 norm of the gradient that it took, which is logged under `name`."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        if self.trainer.scaler is None:  # that of float16 skips the step itself, and then scales less
            self.sound(name, norm)
        optimizer.step()
        return norm

    def sound(self, name: str, value: Tensor, limit: float = math.inf) -> Tensor:
        """The value itself, or a stop before it reaches the weights."""
        if not value < limit:
            raise UserError(
                f"content/{name} became {value.item():.4g} at step {self.trainer.fit_loop.total_batch_idx}: "
                "resume from an earlier checkpoint with lower learning rates, or train in float32."
            )
        return value

    def on_validation_epoch_start(self) -> None:
        """Every process gathers statistics of its own in batch norm: the first one's, which are saved, hold for all."""
        if distributed.is_available() and distributed.is_initialized():
            for buffer in self.buffers():
                distributed.broadcast(buffer, 0)

    on_train_end = on_validation_epoch_start  # what follows may be a test

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        picture, mask = batch["picture"], batch["mask"]
        errors = hole_errors(self(picture, mask), picture, mask)
        for name, value in zip(("val_l1", "val_l2", "val_psnr"), errors, strict=True):
            self.log(f"content/{name}", value.mean(), batch_size=len(picture), sync_dist=True, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The content network alone, at 128 x 128, whatever the size of the test pictures.

        Returns:
            id: list of str; input (the hole in the mean colour), content and truth: [batch, 3, 128, 128];
            mask: [batch, 1, 128, 128]; seconds: list of float, one a picture.
        """
        known, mask = resize_masked(batch["picture"], batch["mask"], (SIDE, SIDE))
        start = time.perf_counter()
        content = self(known, mask)
        if content.is_cuda:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / len(content)
        return {
            "id": batch["id"],
            "input": composite(known, self.mean_colour.expand_as(known), mask),
            "content": content,
            "truth": resize(batch["picture"], (SIDE, SIDE)),
            "mask": mask,
            "seconds": [seconds] * len(content),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses another architecture's in one sentence, before Lightning does it in a hundred."""
        same_shapes(self.state_dict(), checkpoint["state_dict"], "The checkpoint")

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        try:
            optimizers = [self.optimizer_g(self.generator.parameters())]
            if self.discriminator is not None and self.optimizer_d is not None:
                optimizers.append(self.optimizer_d(self.discriminator.parameters()))
            schedulers = [self.scheduler(optimizer) for optimizer in optimizers] if self.scheduler else []
        except (TypeError, ValueError, LookupError) as error:
            raise UserError(f"An optimizer or the scheduler cannot be built: {error}.") from None
        if not all(math.isfinite(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups):
            raise UserError("A learning rate is not finite: see optimizer_g and optimizer_d.")
        return optimizers, schedulers


def as_list(one_or_more: Any) -> list[Any]:
    """Lightning returns None, one thing, or a list of them."""
    if one_or_more is None:
        return []
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]
