"""Trains and measures the content GAN: a LightningModule around `networks` and `losses`."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inpaint.content.losses import fake_loss, hole_errors, real_loss, reconstruction
from inpaint.content.networks import SIDE, Architecture, Masks, Middles, Pictures
from inpaint.content.weights import STARTER, check_resumed, load_weights
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, middle, resize, resize_masked

log = logging.getLogger(__name__)
COLLAPSE = 500  # batches in a row on which the discriminator is always right, after which it has won for good
DIVERGED = 100.0  # a discriminator's loss in nats: a mean logit this far on the wrong side is beyond any sigmoid
Batch = dict[str, Any]


class ContentGAN(pl.LightningModule):
    """The content network f with its discriminator D (Yang et al. 2017, section 3.3; Pathak et al. 2016).

    With x_0 the picture with the mean colour in its hole, and h the picture's middle, every batch is::

        f(x_0)    the predicted middle
        L_rec   = mean of w (f(x_0) - h)^2      w = ring_weight where x_0 shows the middle, else 1
        theta_D <- optimizer_d, a step down     -log D(h) - log(1 - D(f(x_0)))      f held fixed
        L_adv   = -log D(f(x_0))                                                    D as updated, held fixed
        theta_f <- optimizer_g, a step down     lambda_rec L_rec + lambda_adv L_adv
        each scheduler: a step

    Without a discriminator, and in the first `warm_up` batches, the lines of D and L_adv fall away.
    `trainer.global_step` (hence `max_steps`) counts steps of optimisers, two a batch with the discriminator; schedulers
    and what is logged count batches. Logged under `content/` are:

    - every batch `loss_rec`, `loss_g` (the sum that f descends) and `grad_norm_g`; with a discriminator also
      `loss_adv`, `loss_d_real`, `loss_d_fake`, `grad_norm_d`, and what D got right before its step:
      `accuracy_real`, `accuracy_fake`;
    - every validation `val_l1`, `val_l2` (percent) and `val_psnr` (dB), means over the pictures' holes.

    Args (their usual values stand in `conf/model/content.yaml`):
        generator: f, from pictures [batch, 3, 128, 128] and masks to middles [batch, 3, 64, 64], in [0, 1].
        discriminator: D, from middles to logits [batch]; None trains by L_rec alone.
        optimizer_g, optimizer_d: make an optimiser from parameters; without a discriminator the second is not used.
        scheduler: makes a learning-rate scheduler from an optimiser, one for each.
        lambda_rec, lambda_adv: the weights of L_rec and L_adv, at least 0.
        warm_up: batches trained by L_rec alone, before the discriminator takes part (as Iizuka et al. 2017 do).
        ring_weight: weight in L_rec of the pixels that are shown and predicted, at least 0; those of the hole weigh 1.
        mean_colour: red, green and blue in [0, 1]; kept with the weights, for predictions need that of the training.
        weights: a file to take generator and mean colour from (`load_weights`), or "starter": the network that ships.

    Raises:
        UserError: an argument is out of its range or missing; `weights` or a checkpoint to resume from holds another
            architecture. While training: a batch of one picture; a loss or gradient that is no longer finite, or a
            loss of the discriminator above `DIVERGED`, before it reaches the weights.
    """

    mean_colour: Tensor

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module | None,
        optimizer_g: Callable[[Iterable[nn.Parameter]], Optimizer],
        optimizer_d: Callable[[Iterable[nn.Parameter]], Optimizer] | None,
        scheduler: Callable[[Optimizer], LRScheduler] | None,
        lambda_rec: float,
        lambda_adv: float,
        warm_up: int,
        ring_weight: float,
        mean_colour: Sequence[float],
        weights: str | Path | None,
    ) -> None:
        super().__init__()
        if discriminator is not None and optimizer_d is None:
            raise UserError("The content GAN has a discriminator but no optimizer_d: give one, or discriminator=null.")
        if len(mean_colour) != 3 or not all(0 <= value <= 1 for value in mean_colour):
            raise UserError(f"mean_colour is {list(mean_colour)}: it must be red, green and blue, each in [0, 1].")
        for name, weight in (("lambda_rec", lambda_rec), ("lambda_adv", lambda_adv), ("ring_weight", ring_weight)):
            if not 0 <= weight < math.inf:
                raise UserError(f"{name} is {weight}, but a weight must be at least 0, and finite.")
        if not isinstance(warm_up, int) or warm_up < 0:
            raise UserError(f"warm_up is {warm_up!r}, but must be a whole number of batches, at least 0.")
        for name, make in (("optimizer_g", optimizer_g), ("optimizer_d", optimizer_d), ("scheduler", scheduler)):
            if make is not None and not callable(make):
                raise UserError(f"{name} is {make!r}, but must make one: give a _target_ with _partial_: true.")
        self.generator, self.discriminator = generator, discriminator
        self.optimizer_g, self.optimizer_d, self.scheduler = optimizer_g, optimizer_d, scheduler
        self.lambda_rec, self.lambda_adv = lambda_rec, lambda_adv
        self.warm_up, self.ring_weight = warm_up, ring_weight
        self.register_buffer("mean_colour", torch.tensor([*mean_colour], dtype=torch.float32).view(3, 1, 1))
        self.automatic_optimization = False
        self.batches_won = 0  # in a row, by a discriminator that was right on every picture
        self.to(memory_format=torch.channels_last)  # what convolutions run fastest in, on every device
        self.weight_files: dict[str, Path] = dict(getattr(generator, "weight_files", {}))
        if weights is not None:
            path = STARTER if str(weights) == "starter" else Path(weights)
            self.mean_colour.copy_(load_weights(generator, path))
            self.weight_files["content"] = path

    def forward(self, picture: Pictures, mask: Masks) -> Pictures:
        """Fills the hole with the prediction. What `picture` holds there does not matter, as long as it is finite.

        Raises:
            UserError: the picture is not 128 x 128, or a pixel of the hole lies outside the middle 64 x 64.
        """
        prediction = self.predict_middle(picture, mask).float().clamp(0, 1)
        return composite(picture, F.pad(prediction, [SIDE // 4] * 4), mask)

    def predict_middle(self, picture: Pictures, mask: Masks) -> Middles:
        """Predicts the whole middle, its known pixels as well; raises as `forward`."""
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
        optimizers: Any = self.optimizers()  # Lightning gives a list only where there are several
        optimizer_g, *optimizer_d = optimizers if self.discriminator is not None else [optimizers]
        truth = middle(picture)
        prediction = self.predict_middle(picture, mask)
        loss_rec = reconstruction(prediction, truth, 1 - middle(mask), self.ring_weight)
        logged = {"loss_rec": self.refuse_divergence("loss_rec", loss_rec)}
        loss_g = self.lambda_rec * loss_rec

        adversarial = self.trainer.fit_loop.total_batch_idx >= self.warm_up
        if self.discriminator is not None and adversarial:
            logged |= self.discriminator_step(self.discriminator, optimizer_d[0], truth, prediction.detach())
            self.discriminator.requires_grad_(False)  # the next pass only carries the gradient to f
            loss_adv = real_loss(self.discriminator(prediction))
            self.discriminator.requires_grad_(True)
            logged["loss_adv"] = self.refuse_divergence("loss_adv", loss_adv)
            loss_g = loss_g + self.lambda_adv * loss_adv

        logged["loss_g"] = loss_g
        logged["grad_norm_g"] = self.step_down("grad_norm_g", loss_g, self.generator, optimizer_g)
        for config in self.trainer.lr_scheduler_configs[: 2 if adversarial else 1]:
            config.scheduler.step()  # type: ignore[call-arg]  # none of those that want a loss
        for name, value in logged.items():
            self.log(f"content/{name}", value.detach(), batch_size=len(picture), prog_bar=name == "loss_rec")

    def discriminator_step(
        self, discriminator: nn.Module, optimizer: Any, truth: Middles, prediction: Middles
    ) -> dict[str, Tensor]:
        """Trains the discriminator on one batch, and returns what is logged of it."""
        real, fake = discriminator(truth), discriminator(prediction)  # apart: each has its own batch statistics
        loss_real = self.refuse_divergence("loss_d_real", real_loss(real), DIVERGED)
        loss_fake = self.refuse_divergence("loss_d_fake", fake_loss(fake), DIVERGED)
        accuracy_real, accuracy_fake = (real > 0).float().mean(), (fake < 0).float().mean()
        self.batches_won = self.batches_won + 1 if accuracy_real + accuracy_fake == 2 else 0
        if self.batches_won == COLLAPSE:
            log.warning(
                "The discriminator has been right on everything for %d batches, at step %d: the generator learns "
                "nothing from it any more; lower its learning rate (optimizer_d).",
                COLLAPSE,
                self.trainer.fit_loop.total_batch_idx,
            )
        norm = self.step_down("grad_norm_d", loss_real + loss_fake, discriminator, optimizer)
        logged = {"loss_d_real": loss_real, "loss_d_fake": loss_fake, "grad_norm_d": norm}
        return logged | {"accuracy_real": accuracy_real, "accuracy_fake": accuracy_fake}

    def step_down(self, name: str, loss: Tensor, network: nn.Module, optimizer: Any) -> Tensor:
        """Takes one optimiser step down the loss; returns the gradient's L2 norm, which is logged under `name`."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        if self.trainer.scaler is None:  # that of float16 skips the step itself, and then scales less
            self.refuse_divergence(name, norm)
        optimizer.step()
        return norm

    def refuse_divergence(self, name: str, value: Tensor, limit: float = math.inf) -> Tensor:
        """Returns a loss or norm as it is, and stops the training if it is not a number or has reached the limit."""
        if not value < limit:
            raise UserError(
                f"content/{name} became {value.item():.4g} at step {self.trainer.fit_loop.total_batch_idx}: "
                "resume from an earlier checkpoint with lower learning rates, or train in float32."
            )
        return value

    def on_validation_epoch_start(self) -> None:
        """Gives every process the first one's statistics of batch normalisation, which are those that are saved."""
        if distributed.is_available() and distributed.is_initialized():
            for buffer in self.buffers():
                distributed.broadcast(buffer, 0)

    on_train_end = on_validation_epoch_start  # for the test that may follow

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        picture, mask = batch["picture"], batch["mask"]
        errors = hole_errors(self(picture, mask), picture, mask)
        for name, value in zip(("val_l1", "val_l2", "val_psnr"), errors, strict=True):
            self.log(f"content/{name}", value.mean(), batch_size=len(picture), sync_dist=True, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Fills one batch by the content network alone, at 128 x 128, as `evaluation.results.Results` takes it."""
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

    @property
    def architecture(self) -> dict[str, Architecture | None]:
        """The two networks as plain data, None for one that is absent or does not say."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: getattr(network, "architecture", None) for name, network in networks.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["architecture"] = self.architecture

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_resumed(self, self.architecture, checkpoint)

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
