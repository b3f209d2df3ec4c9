"""Samplers and loaders: the order in which pictures are read, and the batches made of them."""

import math
import signal
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, DistributedSampler, default_collate

from inpaint.data.masks import hole_generator
from inpaint.data.pictures import SampleKey


class TrainingSampler(DistributedSampler):
    """The samples of an epoch for one rank: `samples` in all, rounded up to whole batches on every rank.

    The ranks share out random orders of all pictures, one order after another: no picture comes a second time
    before each has come once, and ragged batches never occur, even where pictures are few. Lightning calls
    `set_epoch`, and leaves a `DistributedSampler` in place. Only the next iteration begins at position `start`.
    """

    def __init__(self, pictures: int, samples: int, batch_size: int, *, seed: int, rank: int, world_size: int) -> None:
        self.pictures, self.seed, self.rank, self.num_replicas = pictures, seed, rank, world_size
        self.num_samples = math.ceil(samples / (batch_size * world_size)) * batch_size
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[SampleKey]:
        total = self.num_samples * self.num_replicas
        orders = [
            torch.randperm(self.pictures, generator=hole_generator("order", self.seed, self.epoch, turn))
            for turn in range(math.ceil(total / self.pictures))
        ]
        own = torch.cat(orders)[self.rank : total : self.num_replicas]
        start, self.start = self.start, 0
        for position, index in enumerate(own[start:].tolist(), start):
            yield SampleKey(index, (self.rank, self.epoch, position))


class TrainingLoader(DataLoader):
    """A DataLoader over a `TrainingSampler` that a resumed training can continue in the middle of an epoch.

    Lightning asks for its state. Nothing is read before the first batch is asked for: by then the epoch is known.
    """

    batches_yielded = 0  # in this epoch

    def state_dict(self) -> dict[str, int]:
        return {"batches": self.batches_yielded % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if isinstance(self.sampler, TrainingSampler):  # Lightning's overfit_batches puts another in its place
            self.sampler.start = state["batches"] * cast(int, self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        start = self.sampler.start if isinstance(self.sampler, TrainingSampler) else 0
        self.batches_yielded = start // cast(int, self.batch_size)
        for batch in super().__iter__():
            self.batches_yielded += 1
            yield batch


class EvaluationSampler(DistributedSampler):
    """One process's part of the pictures: each picture comes in one process, once.

    Lightning, which leaves a `DistributedSampler` in place, would otherwise repeat some to give all processes the same
    number. With fewer pictures than processes, those that would have none take the first, for none can be without.
    """

    def __init__(self, indices: Sequence[int], *, rank: int, world_size: int) -> None:
        self.indices = list(indices[rank::world_size] or indices[:1])

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: every epoch is the same."""


def outlive_signals(worker: int) -> None:
    """Lets a loader's worker go on through Ctrl-C and Slurm's SIGTERM, for the main process still needs its batches.

    SIGTERM ends the worker a minute later, as it is also how a main process ends those that it cannot reach otherwise.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(60))


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: ids as a list, pictures (as numbers in [0, 1]) and masks stacked, all paths in "unreadable" in one list.

    Where no sample has a picture, "unreadable" is the only key; where one has a "fault", its own is the other.
    """
    unreadable = [path for sample in samples for path in sample["unreadable"]]
    for sample in samples:
        if "fault" in sample:
            return {"fault": sample["fault"], "unreadable": unreadable}
    complete = [{key: sample[key] for key in ("id", "picture", "mask")} for sample in samples if "picture" in sample]
    batch = default_collate(complete) if complete else {}
    if complete and batch["picture"].dtype == torch.uint8:
        batch["picture"] = batch["picture"].float().div_(255)
    return {**batch, "unreadable": unreadable}
