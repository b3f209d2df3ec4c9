"""`make bench-training`: the speed of training and of reading pictures as ratios, each measured in one run.

    python -m experiments.training_speed.bench [--parts lightning,settings,quality,reading] [--data FOLDER]

The networks are those of the quickstart, in its batches of 32. Two ways of training take turns, a few steps each, so
that what else the machine does slows both; ratios are medians over the turns. Everything runs on one thread.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from inpaint.content.losses import fake_loss, real_loss, reconstruction
from inpaint.content.networks import ContextEncoder, Discriminator
from inpaint.data.datamodule import PictureDataModule
from inpaint.data.resize import resize_one
from inpaint.files import CONF
from inpaint.imaging.pixels import composite, middle
from inpaint.train.run import build

PARTS = ("lightning", "settings", "quality", "reading")
BATCHES = 8  # different ones, kept in memory
TURN = 2  # steps
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}
FLOAT32 = ["trainer.precision=32-true", "model.content.optimizer_g.fused=null", "model.content.optimizer_d.fused=null"]


def configuration(data: Path, *overrides: str) -> DictConfig:
    """The quickstart's, on the pictures of an ImageNet sample."""
    given = ["+experiment=quickstart", "data=imagenet", f"data.root={data}", "data.num_workers=0", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", given, return_hydra_config=True)
    OmegaConf.set_struct(cfg, False)
    cfg.paths.output = tempfile.mkdtemp(prefix="bench-")
    cfg.callbacks.progress = None
    cfg.callbacks.checkpoints.every_n_minutes = None
    del cfg.hydra
    return cfg


def batches(cfg: DictConfig) -> list[dict[str, Any]]:
    loader = build(cfg.data).train_dataloader()
    return [batch for batch, _ in zip(loader, range(BATCHES), strict=False)]


class Plain:
    """The content GAN as a plain loop: the same networks and losses in float32, and nothing else."""

    def __init__(self, memory_format: torch.memory_format) -> None:
        generator = ContextEncoder(
            filters=32,
            bottleneck=1024,
            middle="fully_connected",
            encoder_activation="elu",
            decoder_activation="elu",
            residual=False,
            perceptual=False,
        )
        self.generator = generator.to(memory_format=memory_format)
        self.discriminator = Discriminator(filters=32, activation="elu").to(memory_format=memory_format)
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), 2e-3, betas=(0.5, 0.999))
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
        self.mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)

    def predict(self, picture: Tensor, mask: Tensor) -> Tensor:
        return self.generator(composite(picture, self.mean.expand_as(picture), mask), mask)

    def step(self, picture: Tensor, mask: Tensor) -> None:
        truth = middle(picture)
        prediction = self.predict(picture, mask)
        loss_d = real_loss(self.discriminator(truth)) + fake_loss(self.discriminator(prediction.detach()))
        self.optimizer_d.zero_grad()
        loss_d.backward()
        self.optimizer_d.step()
        loss_rec = reconstruction(prediction, truth, 1 - middle(mask), ring_weight=10.0)
        self.discriminator.requires_grad_(False)
        loss_g = 0.999 * loss_rec + 0.001 * real_loss(self.discriminator(prediction))
        self.discriminator.requires_grad_(True)
        self.optimizer_g.zero_grad()
        loss_g.backward()
        self.optimizer_g.step()


class Turns(pl.Callback):
    """Lets a plain loop take its turn after every `TURN` steps of Lightning's, and keeps the seconds of both."""

    def __init__(self, plain: Callable[[], None]) -> None:
        self.plain = plain
        self.seconds: list[tuple[float, float]] = []  # a step's: Lightning's, the plain one's

    def on_train_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        if index == 0 or index % TURN:
            return
        middle = time.perf_counter()
        for _ in range(TURN):
            self.plain()
        end = time.perf_counter()
        self.seconds.append(((middle - self.began) / TURN, (end - middle) / TURN))
        self.began = time.perf_counter()


def against_plain(
    cfg: DictConfig, turns: int, memory_format: torch.memory_format = torch.contiguous_format
) -> tuple[float, float, float]:
    """Trains by Lightning with all callbacks and logs; seconds a step, the plain loop's, and the median ratio."""
    data = batches(cfg)
    torch.manual_seed(0)
    plain, number = Plain(memory_format), 0

    def step() -> None:
        nonlocal number
        batch = data[number % len(data)]
        number += 1
        plain.step(batch["picture"], batch["mask"])

    kept = Turns(step)
    callbacks = [build(callback) for callback in cfg.callbacks.values() if callback]
    loggers = [build(logger) for logger in cfg.logger.values()]
    trainer = build(cfg.trainer, callbacks=[*callbacks, kept], logger=loggers, **QUIET)
    repeated: Any = [data[i % len(data)] for i in range((turns + 1) * TURN + 1)]
    trainer.fit_loop.max_epochs = 1
    trainer.fit(build(cfg.model).content, DataLoader(repeated, batch_size=None))
    own, theirs = zip(*kept.seconds[1:], strict=True)  # the first turn warms both up
    return statistics.median(own), statistics.median(theirs), statistics.median(t / o for o, t in kept.seconds[1:])


def lightning(data: Path) -> None:
    own, plain, ratio = against_plain(configuration(data, *FLOAT32), 15, torch.channels_last)
    print("Lightning, with all callbacks and logs, against a plain loop; both float32, channels last")
    print(f"  {1 / own:.2f} and {1 / plain:.2f} steps a second: {ratio:.3f} times the plain loop's")


def settings(data: Path) -> None:
    print("What users get against the plain float32 loop, and each setting alone")
    bf16, fused = FLOAT32[1:], FLOAT32[:1]
    for name, overrides in (
        ("all of it", []),
        ("bfloat16 and channels last", bf16),
        ("fused optimisers and channels last", fused),
    ):
        own, plain, ratio = against_plain(configuration(data, *overrides), 12)
        print(f"  {name}: {1 / own:.2f} and {1 / plain:.2f} steps a second: {ratio:.2f} times the plain loop's")


def quality(data: Path, steps: int, seeds: int) -> None:
    """Validation L2 after as many steps on the same batches, of 16."""
    print(f"Validation L2 in the hole after {steps} steps, on pictures not trained on")
    for seed in range(seeds):
        reached = {}
        for name, overrides in (("float32", FLOAT32), ("as users get it", [])):
            cfg = configuration(data, *overrides, f"seed={seed}", "data.batch_size=16")
            cfg.data.samples_per_epoch = 16 * steps
            pl.seed_everything(seed, verbose=False)
            trainer = build(cfg.trainer, callbacks=[], logger=False, enable_checkpointing=False, **QUIET)
            trainer.fit_loop.max_epochs = 1
            began = time.perf_counter()
            trainer.fit(build(cfg.model).content, datamodule=build(cfg.data))
            reached[name] = float(trainer.callback_metrics["content/val_l2"])
            print(f"  seed {seed}, {name}: {reached[name]:.3f} % in {time.perf_counter() - began:.0f} s", flush=True)
        print(f"  {reached['as users get it'] / reached['float32'] - 1:+.1%}")


def pictures_a_second(loader: DataLoader) -> float:
    """By the processor's time, as other processes may have the core in between."""
    began = time.process_time()
    read = sum(len(batch["picture"] if isinstance(batch, dict) else batch[0]) for batch in loader)
    return read / (time.process_time() - began)


def reading(data: Path) -> None:
    """Training batches of 128 x 128 from JPEGs, in the main process."""
    own: PictureDataModule = build(configuration(data, "data.validation_pictures=0").data)
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(128, scale=tuple(part**2 for part in own.crop_scale), ratio=(1.0, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
    folder = ImageFolder(str(data / "train"), augment)
    with tempfile.TemporaryDirectory() as name:
        for path, _ in folder.samples:
            resize_one(str(Path(path).relative_to(data)), data, Path(name), 256)
        smaller: PictureDataModule = build(configuration(Path(name), "data.validation_pictures=0").data)
        loaders: dict[str, Callable[[], DataLoader]] = {
            "torchvision's ImageFolder": lambda: DataLoader(folder, batch_size=32, shuffle=True),
            "ours": own.train_dataloader,
            "ours, from a copy of 256": smaller.train_dataloader,
        }
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(5):
            for which, make in loaders.items():
                rates[which].append(pictures_a_second(make()))
    print("Reading and augmenting, pictures a second on one core")
    plain = rates["torchvision's ImageFolder"]
    for which, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, plain, strict=True))
        print(f"  {which}: {statistics.median(found):.0f}, {ratio:.2f} times ImageFolder's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/imagenet_sample"), help="ImageNet or a sample of it"
    )
    parser.add_argument("--steps", type=int, default=500, help="of the part quality")
    parser.add_argument("--seeds", type=int, default=1, help="of the part quality")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose among {', '.join(PARTS)}")
    if not (options.data / "train").is_dir():
        parser.error(f"there is no {options.data / 'train'}: give ImageNet, or a sample of it, as --data")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print(f"torch {torch.__version__}, one thread of {os.cpu_count()} cores")
    if "lightning" in parts:
        lightning(options.data)
    if "settings" in parts:
        settings(options.data)
    if "quality" in parts:
        quality(options.data, options.steps, options.seeds)
    if "reading" in parts:
        reading(options.data)


if __name__ == "__main__":
    main()
