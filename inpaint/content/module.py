"""Trains and measures the content GAN: a LightningModule around `networks` and `losses`."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inpaint.content.descent import Descent, held_fixed
from inpaint.content.losses import (
    FurtherLoss,
    check_one_number,
    fake_loss,
    further_losses,
    hole_errors,
    real_loss,
    reconstruction,
)
from inpaint.content.networks import SIDE, Architecture, Masks, Middles, Pictures
from inpaint.content.predict import check_size, predict, show
from inpaint.content.schedules import leaves_batches_open, wants_a_loss, with_batches
from inpaint.content.weights import (
    StoredNetwork,
    architecture_of,
    check_resumed,
    file_of,
    load_weights,
    save_network,
)
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, middle, resize, resize_masked

log = logging.getLogger(__name__)
COLLAPSE = 500  # batches in a row on which the discriminator is always right, after which it has won for good
DIVERGED = 100.0  # a discriminator's loss in nats: a mean logit this far on the wrong side is beyond any sigmoid
Batch = dict[str, Any]


class ContentGAN(Descent):
    """The content network f with its discriminator D (Yang et al. 2017, section 3.3; Pathak et al. 2016).

    With x_0 the picture with the mean colour in its hole, and h the picture's middle, every batch is::

        f(x_0)    the predicted middle
        L_rec   = mean of w (f(x_0) - h)^2      w = ring_weight where x_0 shows the middle, else 1
        theta_D <- optimizer_d, a step down     -log D(h) - log(1 - D(f(x_0)))      f held fixed
        L_adv   = -log D(f(x_0))                                                    D as updated, held fixed
        L_k     = losses[k].loss(f(x_0), h, where x_0 shows the middle)
        theta_f <- optimizer_g, a step down     lambda_rec L_rec + lambda_adv L_adv + sum of losses[k].weight L_k
        each scheduler: a step

    Without a discriminator, and in the first `warm_up` batches, the lines of D and L_adv fall away. A hole may lie
    anywhere: what of it is outside the middle, x_0 shows filled by diffusion (`show`).

    With `accumulate_batches` above 1, the steps are taken in the last batch of each group of so many (`Descent`), the
    schedulers' as many at once; D takes part from the first group on that begins after the warm-up.
    `trainer.global_step` (hence `max_steps`), schedulers and what is logged count batches. Logged under `content/` are:

    - every batch `loss_rec`, `loss_<name>` of `losses`, `loss_g` (the sum that f descends), `grad_norm_g` (before it is
      clipped) and `lr_generator`; with a discriminator also `loss_adv`, `loss_d_real`, `loss_d_fake`, `grad_norm_d`,
      `lr_discriminator`, and what D got right before its step: `accuracy_real`, `accuracy_fake`;
    - every validation `val_l1`, `val_l2` (percent) and `val_psnr` (dB), means over the pictures' holes.

    Args (their usual values stand in `conf/model/content.yaml`):
        generator: f, from pictures [batch, 3, 128, 128] and masks to middles [batch, 3, 64, 64], in [0, 1]. Any
            module; a `ContextEncoder` is built again from a checkpoint by itself.
        discriminator: D, from middles to logits [batch]; None trains by L_rec, and `losses`, alone.
        optimizer_g, optimizer_d: make an optimiser from parameters; without a discriminator the second is not used.
        scheduler: makes a learning-rate scheduler from an optimiser, one for each; None keeps the rates. One whose
            argument `batches` is None is given the number of batches that its optimiser steps in.
        lambda_rec, lambda_adv: the weights of L_rec and L_adv, at least 0.
        losses: further terms by name, see `FurtherLoss`.
        warm_up: batches trained without the discriminator, before it takes part (as Iizuka et al. 2017 do).
        accumulate_batches, clip_norm: see `Descent`.
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
        losses: Mapping[str, FurtherLoss],
        warm_up: int,
        accumulate_batches: int,
        clip_norm: float | None,
        ring_weight: float,
        mean_colour: Sequence[float],
        weights: str | Path | None,
    ) -> None:
        super().__init__(accumulate_batches, clip_norm)
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
                raise UserError(f"{name} is {make!r}, but must be callable: give a _target_ with _partial_: true.")
        self.generator, self.discriminator = generator, discriminator
        self.optimizer_g, self.optimizer_d, self.scheduler = optimizer_g, optimizer_d, scheduler
        self.lambda_rec, self.lambda_adv = lambda_rec, lambda_adv
        self.warm_up, self.ring_weight = warm_up, ring_weight
        self.register_buffer("mean_colour", torch.tensor([*mean_colour], dtype=torch.float32).view(3, 1, 1))
        self.losses = further_losses(losses)  # no part of this network: not saved, averaged or synchronised with it
        self.batches_won = 0  # in a row, by a discriminator that was right on every picture
        self.to(memory_format=torch.channels_last)  # what convolutions run fastest in, on every device
        self.weight_files: dict[str, Path] = dict(getattr(generator, "weight_files", {}))
        for name, term in self.losses.items():
            files = getattr(term["loss"], "weight_files", {})
            self.weight_files |= {f"loss_{name}_{kind}": file for kind, file in files.items()}
        if weights is not None:
            path = file_of(weights)
            self.mean_colour.copy_(load_weights(generator, path))
            self.weight_files["content"] = path

    def forward(self, picture: Pictures, mask: Masks) -> Pictures:
        """Fills the holes: the middle with the prediction, what lies outside by diffusion (`predict`).

        What `picture` holds in the holes does not matter, as long as it is finite.

        Raises:
            UserError: the pictures are not 128 x 128.
        """
        check_size(picture, mask)
        return predict(self.generator, self.mean_colour, False, picture, mask)

    def predict_middle(self, picture: Pictures, mask: Masks) -> Middles:
        """Predicts the whole middle, its known pixels as well; raises as `forward`."""
        check_size(picture, mask)
        _, shown, hole = show(picture, mask, self.mean_colour)
        return self.generator(shown, hole)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        picture, mask = batch["picture"], batch["mask"]
        if len(picture) < 2:
            raise UserError(
                f"A training batch holds {len(picture)} pictures, but batch normalisation needs at least 2: "
                "raise data.batch_size."
            )
        optimizers: Any = self.optimizers()  # Lightning gives a list only where there are several
        optimizers = optimizers if self.discriminator is not None else [optimizers]
        self.begin_batch(batch_idx)
        truth, known = middle(picture), 1 - middle(mask)
        prediction = self.predict_middle(picture, mask)
        loss_rec = reconstruction(prediction, truth, known, self.ring_weight)
        logged = {"loss_rec": self.refuse_divergence("loss_rec", loss_rec)}
        loss_g = self.lambda_rec * loss_rec

        adversarial = self.trainer.fit_loop.total_batch_idx - self.gathered >= self.warm_up
        if self.discriminator is not None and adversarial:
            logged |= self.discriminator_step(self.discriminator, optimizers[1], truth, prediction.detach())
            with held_fixed(self.discriminator):
                loss_adv = real_loss(self.discriminator(prediction))
            logged["loss_adv"] = self.refuse_divergence("loss_adv", loss_adv)
            loss_g = loss_g + self.lambda_adv * loss_adv

        for name, term in self.losses.items():
            loss = check_one_number(name, term["loss"](prediction.float(), truth, known))
            logged[f"loss_{name}"] = self.refuse_divergence(f"loss_{name}", loss)
            loss_g = loss_g + term["weight"] * loss

        logged["loss_g"] = loss_g
        logged["grad_norm_g"] = self.descend("grad_norm_g", loss_g, self.generator, optimizers[0])
        for network, optimizer in zip(("generator", "discriminator"), optimizers, strict=False):
            logged[f"lr_{network}"] = torch.as_tensor(optimizer.param_groups[0]["lr"])
        if self.steps_now:
            for config in self.trainer.lr_scheduler_configs[: 2 if adversarial else 1]:
                for _ in range(self.gathered + 1):
                    config.scheduler.step()  # type: ignore[call-arg]  # `wants_a_loss` refuses the others
        self.end_batch()
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
        norm = self.descend("grad_norm_d", loss_real + loss_fake, discriminator, optimizer)
        logged = {"loss_d_real": loss_real, "loss_d_fake": loss_fake, "grad_norm_d": norm}
        return logged | {"accuracy_real": accuracy_real, "accuracy_fake": accuracy_fake}

    def on_fit_start(self) -> None:
        for term in self.losses.values():
            if isinstance(term["loss"], nn.Module):
                term["loss"].to(self.device)

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
        """The two networks as plain data, None for one that is absent; of one that does not say, its class alone."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: None if network is None else architecture_of(network) for name, network in networks.items()}

    def save_weights(self, path: Path) -> None:
        """Writes the content network as a .safetensors file (`save_network`), or raises a UserError."""
        architecture = architecture_of(self.generator)
        save_network(StoredNetwork(architecture, self.generator.state_dict(), self.mean_colour), path)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["architecture"] = self.architecture

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_resumed(self, self.architecture, checkpoint)
        super().on_load_checkpoint(checkpoint)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        try:
            optimizers = [self.optimizer_g(self.generator.parameters())]
            if self.discriminator is not None and self.optimizer_d is not None:
                optimizers.append(self.optimizer_d(self.discriminator.parameters()))
            makes = [self.scheduler] * len(optimizers) if self.scheduler is not None else []
            if makes and leaves_batches_open(makes[0]):
                batches = self.trainer.estimated_stepping_batches
                waits = self.warm_up if self.warm_up < batches else 0  # else D never steps
                makes = [with_batches(makes[0], batches), with_batches(makes[0], batches - waits)]
            schedulers = [make(optimizer) for make, optimizer in zip(makes, optimizers, strict=False)]
        except (TypeError, ValueError, LookupError) as error:
            raise UserError(f"An optimizer or the scheduler cannot be built: {error}.") from None
        if any(map(wants_a_loss, schedulers)):
            raise UserError(
                f"The scheduler {type(schedulers[0]).__name__} wants a loss at each step, but here schedulers count "
                "batches alone: choose another."
            )
        if not all(math.isfinite(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups):
            raise UserError("A learning rate is not finite: see optimizer_g and optimizer_d.")
        return optimizers, schedulers
