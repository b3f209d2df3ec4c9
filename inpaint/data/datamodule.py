"""The base LightningDataModule of all data sets: makes batches with holes of the files of three splits."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from inpaint.data.loading import EvaluationSampler, TrainingLoader, TrainingSampler, collate, outlive_signals
from inpaint.data.mask_files import MaskFiles
from inpaint.data.masks import Hole
from inpaint.data.pictures import LEAST_SIDE, EvaluationPictures, Pictures, TrainingPictures
from inpaint.errors import UserError
from inpaint.files import atomic, state_of

log = logging.getLogger(__name__)


class PictureFiles(NamedTuple):
    """Pictures on disk: a folder, and the files' names relative to it, with "/" between folders."""

    root: Path
    names: list[str]


Splits = tuple[PictureFiles, PictureFiles, PictureFiles]
"""A data set's files for training, validation and test."""
CHECKED = {"validate": ("val",), "test": ("test",)}
"""The splits whose holes are checked before a stage begins; before all others all are, for a test may follow."""


class PictureDataModule(pl.LightningDataModule, ABC):
    """Batches of pictures with holes: {"id": list[str], "picture": [B, 3, s, s] in [0, 1], "mask": [B, 1, s, s]}.

    Training: random crops at `training_size`, in whole batches. Validation: centre squares at `training_size`,
    with fixed holes. Test: centre squares at `test_size`, with fixed holes, one a batch, since the refinement hands on
    each as soon as it is done. The names of the test pictures are written to `test_pictures.txt` in the trainer's
    `default_root_dir`, and the files of their masks, if holes are from files, to `test_masks.txt`, line by line. Those
    whose ids are in `finished` are left out (but for the last, where all are); several processes share the others.

    Masks that lie among the pictures count as no pictures. Those that cannot be used raise a `UserError` before the
    first batch, but for a training picture's own mask, which does when it is read; without a Trainer, such a batch
    carries the reason alone, in "fault".

    Unreadable files are skipped, counted by each process, and named at the end of the run (and in `unreadable`). Under
    a Trainer, more than 1 % of a split's files raises a `UserError` that names them; without one, batches carry the
    paths in "unreadable".

    Args:
        batch_size: pictures a batch in training and validation, on each device.
        num_workers: processes that read pictures; 0 reads in the main process.
        seed: of crops, order and holes.
        training_size, test_size: side in training and validation, and in the test, in pixels.
        crop_scale: smallest and largest training crop, as parts of a picture's shorter side.
        in_memory: keeps the training pictures in memory (see `inpaint.data.pictures.TrainingPictures`).
        training_hole, evaluation_hole: draw the holes in training, and in validation and test (`inpaint.data.masks`),
            or say which files they are from (`inpaint.data.mask_files`).
        samples_per_epoch: training samples an epoch, rounded up to whole batches; None: as many as pictures.
        test_pictures: at most this many test pictures; None: all.

    Raises:
        UserError: a number is no whole number, or too small.
    """

    remedy: str  # what to do about a split without pictures, as the end of a sentence

    def __init__(
        self,
        *,
        batch_size: int,
        num_workers: int,
        seed: int,
        training_size: int,
        test_size: int,
        crop_scale: Sequence[float],
        in_memory: bool,
        training_hole: Hole | MaskFiles,
        evaluation_hole: Hole | MaskFiles,
        samples_per_epoch: int | None,
        test_pictures: int | None,
    ) -> None:
        super().__init__()
        check_whole(0, num_workers=num_workers, seed=seed)
        check_whole(1, batch_size=batch_size)
        check_whole(LEAST_SIDE, training_size=training_size, test_size=test_size)
        limits = {"samples_per_epoch": samples_per_epoch, "test_pictures": test_pictures}
        check_whole(1, **{name: limit for name, limit in limits.items() if limit is not None})
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.training_size, self.test_size = training_size, test_size
        low, high = crop_scale
        self.crop_scale, self.in_memory = (low, high), in_memory
        self.training_hole, self.evaluation_hole = plain_partial(training_hole), plain_partial(evaluation_hole)
        self.samples_per_epoch, self.test_pictures = samples_per_epoch, test_pictures
        self.unreadable: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        self.finished: set[str] = set()
        self._reported: set[str] = set()
        self._splits: dict[str, Pictures] = {}
        self._checked: set[str] = set()

    @abstractmethod
    def find(self) -> Splits:
        """Finds all files of the three splits, or raises a UserError where the data set is not there."""

    def setup(self, stage: str | None = None) -> None:
        """Finds the files, once, and checks the holes; refuses to fit without training pictures.

        Before a test it writes the lists of test pictures and of their masks.
        """
        if not self._splits:
            train, val, test = without_masks(self.find(), self.training_hole, self.evaluation_hole)
            fixed: dict[str, Any] = {"hole": self.evaluation_hole, "seed": self.seed}
            drawn: dict[str, Any] = {"hole": self.training_hole, "seed": self.seed, "crop_scale": self.crop_scale}
            self._splits = {
                "train": TrainingPictures(*train, size=self.training_size, in_memory=self.in_memory, **drawn),
                "val": EvaluationPictures(*val, size=self.training_size, **fixed),
                "test": EvaluationPictures(test.root, test.names[: self.test_pictures], size=self.test_size, **fixed),
            }
        for split in CHECKED.get(stage or "", (*self._splits,)):  # a wrong hole is refused here, not inside a worker
            if split not in self._checked:
                self._checked.add(split)
                try:
                    self._splits[split].check_holes()
                except (TypeError, ValueError) as error:
                    raise UserError(f"data: a hole cannot be drawn: {error}.") from None
        if stage == "fit":
            self._pictures("train")
        if stage == "test" and self.trainer is not None and self.trainer.is_global_zero:
            pictures, folder = self._pictures("test"), Path(self.trainer.default_root_dir)
            write_lines(folder / "test_pictures.txt", pictures.names)
            if pictures.masks:
                write_lines(folder / "test_masks.txt", pictures.masks)

    @property
    def test_set(self) -> Pictures:
        """The test pictures with their holes, one after the other, and their files."""
        return self._pictures("test")

    @property
    def evaluation_state(self) -> str:
        """A hash that changes when a test picture takes another mask file, or that file changes; "" without files."""
        pictures = self._pictures("test")
        return state_of(dict(zip(pictures.ids, pictures.masks, strict=True))) if pictures.masks else ""

    def train_dataloader(self) -> DataLoader:
        pictures = self._pictures("train")
        samples = self.samples_per_epoch or len(pictures)
        sampler = TrainingSampler(len(pictures), samples, self.batch_size, seed=self.seed, **self._rank())
        return self._loader(pictures, TrainingLoader, batch_size=self.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self._pictures("val"), batch_size=self.batch_size)

    def test_dataloader(self) -> DataLoader:
        pictures = self._pictures("test")
        left = [index for index, known in enumerate(pictures.ids) if known not in self.finished]
        sampler = EvaluationSampler(left or [len(pictures) - 1], **self._rank())
        return self._loader(pictures, batch_size=1, sampler=sampler)

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Takes the paths of unreadable files out of a batch, and counts them; raises what is wrong with a mask."""
        new = batch.pop("unreadable", None)
        stage = self.trainer.state.stage if self.trainer is not None else None
        if new and stage is not None:
            self._count(str(stage.dataloader_prefix), new)
        if "fault" in batch:
            raise UserError(batch["fault"])
        return batch

    def teardown(self, stage: str | None = None) -> None:
        self._report()

    def on_exception(self, exception: BaseException) -> None:
        if not isinstance(exception, UserError):
            self._report()

    def _count(self, split: str, paths: list[str]) -> None:
        known = self.unreadable[split]
        known[:] = dict.fromkeys(known + paths)  # each once: a file comes again every epoch
        pictures = self._splits[split]
        if len(known) > pictures.unreadable_allowed:
            raise UserError(
                f"{len(known)} of the {len(pictures)} files in the {split} split cannot be read or are smaller than "
                f"{LEAST_SIDE} pixels, which is more than 1 %; repair or remove them: " + ", ".join(sorted(known))
            )

    def _report(self) -> None:
        paths = {path for split in self.unreadable.values() for path in split} - self._reported
        if paths:
            log.warning("Unreadable files skipped: %d: %s", len(paths), ", ".join(sorted(paths)))
            self._reported |= paths

    def _pictures(self, split: str) -> Pictures:
        if not self._splits:
            self.setup()
        pictures = self._splits[split]
        if len(pictures):
            return pictures
        raise UserError(f"There are no pictures of the {split} split in {pictures.root.absolute()}: {self.remedy}.")

    def _rank(self) -> dict[str, int]:
        """This process's rank and the number of processes, as the samplers take them."""
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def _loader(self, pictures: Pictures, kind: type[DataLoader] = DataLoader, **options: Any) -> DataLoader:
        return kind(
            pictures,
            num_workers=self.num_workers,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),  # else each pass draws from the global one, whose state a checkpoint holds
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **options,
        )


def without_masks(splits: Splits, *holes: Hole | MaskFiles) -> Splits:
    """The files of a data set but for those that are masks, by holes that are from files."""
    names: dict[Path, list[str]] = {}
    for files in splits:
        names.setdefault(files.root, []).extend(files.names)  # of all splits: a mask may be in another than its picture
    masks = {
        (root, name)
        for hole in holes
        if isinstance(hole, MaskFiles)
        for root in names
        for name in hole.among(root, names[root])
    }
    if not masks:
        return splits
    train, val, test = (
        PictureFiles(root, [name for name in split if (root, name) not in masks]) for root, split in splits
    )
    return train, val, test


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes names of files, a line each, as the file system has them."""
    with atomic(path) as beside:
        beside.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in lines))


def plain_partial(hole: Hole | MaskFiles) -> Hole | MaskFiles:
    """A partial without Hydra's checks, which at every call would be a fifth of the time of a sample."""
    return partial(hole.func, *hole.args, **hole.keywords) if isinstance(hole, partial) else hole


def check_whole(least: int, **values: int) -> None:
    """Raises a UserError for a value that is no whole number, or less than `least`."""
    for name, value in values.items():
        if type(value) is not int or value < least:
            raise UserError(f"data.{name} is {value!r}, but must be a whole number of at least {least}.")
