"""The data sets, as LightningDataModules: a base that cuts, batches and counts, a thin class a layout."""

import hashlib
import importlib.util
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

import platformdirs
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from inpaint.data.masks import Hole, hole_generator
from inpaint.data.pictures import (
    LEAST_SIDE,
    Crops,
    Draws,
    Pictures,
    Share,
    TrainingLoader,
    collate,
    leave_signals_to_the_main_process,
)
from inpaint.errors import UserError
from inpaint.images import atomic

log = logging.getLogger(__name__)

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
WITHOUT = "data=sample works without it"


class Files(NamedTuple):
    """Pictures on disk: a folder, and their names relative to it, sorted, with "/" between folders."""

    root: Path
    names: list[str]


class Splits(NamedTuple):
    train: Files
    val: Files
    test: Files


class PictureDataModule(pl.LightningDataModule, ABC):
    """Batches of pictures with holes: {"id": list[str], "picture": [B, 3, s, s] in [0, 1], "mask": [B, 1, s, s]}.

    Training: random crops at `training_size`, in whole batches. Validation: centre squares at `training_size`,
    with fixed holes. Test and prediction: centre squares at `test_size`, with fixed holes, one a batch, since the
    refinement takes them one by one and hands each on as soon as it is done. The names of the test pictures are
    written to `test_pictures.txt` in the trainer's `default_root_dir`. Those whose ids are in `finished` are left out
    (but for the last, where all are); several processes share the others.

    Unreadable files are skipped, counted, and named at the end of the run (and in `unreadable`). Under a Trainer,
    more than 1 % of a split's files raises a `UserError` that names them. Each process of a distributed run counts
    what it read itself. Without a Trainer, batches carry the paths in "unreadable".

    Args:
        batch_size: pictures a batch in training and validation, on each device.
        num_workers: processes that read pictures; 0 reads in the main process.
        seed: of crops, order and holes.
        training_size: side in training and validation, in pixels.
        test_size: side in test and prediction, in pixels.
        crop_scale: smallest and largest training crop, as parts of a picture's shorter side.
        in_memory: keeps the training pictures in memory (see `inpaint.data.pictures.Crops`).
        training_hole: draws the holes in training (see `inpaint.data.masks`).
        evaluation_hole: draws the holes in validation, test and prediction.
        samples_per_epoch: training samples an epoch, rounded up to whole batches; None: as many as pictures.
        test_pictures: at most this many test pictures; None: all.

    Raises:
        UserError: a number is no whole number, or too small.
    """

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
        training_hole: Hole,
        evaluation_hole: Hole,
        samples_per_epoch: int | None = None,
        test_pictures: int | None = None,
    ) -> None:
        super().__init__()
        check_whole("batch_size", batch_size, 1)
        check_whole("num_workers", num_workers, 0)
        check_whole("seed", seed, 0)
        check_whole("training_size", training_size, 1)
        check_whole("test_size", test_size, 1)
        check_whole("samples_per_epoch", samples_per_epoch, 1, or_none=True)
        check_whole("test_pictures", test_pictures, 1, or_none=True)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.training_size, self.test_size = training_size, test_size
        low, high = crop_scale
        self.crop_scale, self.in_memory = (low, high), in_memory
        self.training_hole, self.evaluation_hole = unchecked(training_hole), unchecked(evaluation_hole)
        self.samples_per_epoch, self.test_pictures = samples_per_epoch, test_pictures
        self.unreadable: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        self.finished: set[str] = set()
        self._reported: set[str] = set()
        self._splits: dict[str, Pictures] = {}

    @abstractmethod
    def find(self) -> Splits:
        """All files of the three splits.

        Raises:
            UserError: the data set is not there.
        """

    @abstractmethod
    def explain_empty(self, split: str, folder: Path) -> str:
        """The sentence for a split ("train", "val", "test") that holds no picture."""

    def setup(self, stage: str | None = None) -> None:
        """Finds the files, once; refuses to fit without training pictures, and writes the list of test pictures."""
        if not self._splits:
            train, val, test = self.find()
            fixed: dict[str, Any] = {"hole": self.evaluation_hole, "seed": self.seed}
            crops: dict[str, Any] = {"size": self.training_size, "hole": self.training_hole, "seed": self.seed}
            self._splits = {
                "train": Crops(*train, **crops, crop_scale=self.crop_scale, in_memory=self.in_memory),
                "val": Pictures(*val, size=self.training_size, **fixed),
                "test": Pictures(test.root, test.names[: self.test_pictures], size=self.test_size, **fixed),
            }
            for pictures in self._splits.values():  # a wrong hole is refused here, not inside a worker
                try:
                    pictures.hole((pictures.size, pictures.size), hole_generator(0))
                except (TypeError, ValueError) as error:
                    raise UserError(f"data: a hole cannot be drawn: {error}.") from None
        if stage == "fit":
            self._pictures("train")
        if stage in ("test", "predict") and self.trainer is not None and self.trainer.is_global_zero:
            with atomic(Path(self.trainer.default_root_dir) / "test_pictures.txt") as beside:
                names = self._pictures("test").names
                beside.write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))

    @property
    def test_ids(self) -> list[str]:
        """The ids of the test pictures, in order."""
        return self._pictures("test").ids

    def train_dataloader(self) -> DataLoader:
        pictures = self._pictures("train")
        sampler = Draws(
            len(pictures),
            self.samples_per_epoch or len(pictures),
            self.batch_size,
            seed=self.seed,
            **self._process(),
        )
        return self._loader(pictures, TrainingLoader, batch_size=self.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self._pictures("val"), batch_size=self.batch_size)

    def test_dataloader(self) -> DataLoader:
        pictures = self._pictures("test")
        every = range(len(pictures))
        left = [index for index in every if pictures.ids[index] not in self.finished] or every[-1:]
        sampler = Share(left, **self._process())
        return self._loader(pictures, batch_size=1, sampler=sampler)

    predict_dataloader = test_dataloader

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Takes the paths of unreadable files out of a batch and counts them, in the main process."""
        new = batch.pop("unreadable", None)
        if new and self.trainer is not None:
            stage = self.trainer.state.stage
            prefix = stage.dataloader_prefix if stage else None
            self._count(prefix if prefix in self._splits else "test", new)  # prediction reads the test pictures
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
        self.setup()
        pictures = self._splits[split]
        if not len(pictures):
            raise UserError(self.explain_empty(split, pictures.root))
        return pictures

    def _process(self) -> dict[str, int]:
        """Which of how many."""
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def _loader(self, pictures: Pictures, kind: type[DataLoader] = DataLoader, **options: Any) -> DataLoader:
        return kind(
            pictures,
            num_workers=self.num_workers,
            worker_init_fn=leave_signals_to_the_main_process,
            generator=torch.Generator(),  # else each pass draws from the global one, whose state a checkpoint holds
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **options,
        )


class ParisStreetView(PictureDataModule):
    """Paris StreetView as distributed.

    Training pictures lie anywhere under `paris_train_original/` (some copies nest the folder once more), test
    pictures under `paris_eval/paris_eval_gt/`.

    Args:
        root: the folder that holds the two.
        train_folder: another folder to train on, relative to `root` (or absolute): test pictures are easier to get.
        validation_pictures: training pictures held out for validation; at most a tenth of them.
        (the others as in `PictureDataModule`)
    """

    OBTAIN = "its authors give it out on request (see https://github.com/pathak22/context-encoder)"

    def __init__(
        self,
        root: str | Path,
        *,
        validation_pictures: int,
        train_folder: str | Path = "paris_train_original",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_whole("validation_pictures", validation_pictures, 0)
        self.root, self.validation_pictures, self.train_folder = Path(root), validation_pictures, train_folder

    def find(self) -> Splits:
        if not self.root.is_dir():
            raise UserError(
                f"Paris StreetView was expected in {self.root.absolute()} (paris_train_original/ and "
                f"paris_eval/paris_eval_gt/; set data.root), which does not exist: {self.OBTAIN}; {WITHOUT}."
            )
        train, val = hold_out(pictures_under(self.root / self.train_folder), self.validation_pictures)
        return Splits(train, val, pictures_under(self.root / "paris_eval" / "paris_eval_gt"))

    def explain_empty(self, split: str, folder: Path) -> str:
        return (
            f"There are no pictures for the {split} split of Paris StreetView under {folder.absolute()}: "
            f"{self.OBTAIN}; {WITHOUT}."
        )


class ImageNet(PictureDataModule):
    """ImageNet as unpacked: `train/<wnid>/*` and `val/<wnid>/*`.

    The test pictures are drawn from val by a hash of `test_seed` and the name: the training seed does not change
    them. Validation pictures are held out from train. Both folders are listed once; the lists are kept in the
    user's cache folder until a class folder changes.

    Args:
        root: the folder that holds train/ and val/.
        test_seed: of the draw of test pictures.
        validation_pictures: training pictures held out for validation; at most a tenth of them.
        (the others as in `PictureDataModule`)
    """

    OBTAIN = "register at https://image-net.org for ILSVRC 2012 and sort val into class folders as well"

    def __init__(self, root: str | Path, *, test_seed: int, validation_pictures: int, **common: Any) -> None:
        super().__init__(**common)
        check_whole("validation_pictures", validation_pictures, 0)
        self.root, self.test_seed, self.validation_pictures = Path(root), test_seed, validation_pictures

    def find(self) -> Splits:
        if not self.root.is_dir():
            raise UserError(
                f"ImageNet was expected in {self.root.absolute()} (train/<wnid>/ and val/<wnid>/; set data.root), "
                f"which does not exist: {self.OBTAIN}; {WITHOUT}."
            )
        train, val = hold_out(class_pictures(self.root / "train"), self.validation_pictures)
        candidates = class_pictures(self.root / "val")
        drawn = draw(candidates.names, self.test_pictures, f"test {self.test_seed}")
        return Splits(train, val, Files(candidates.root, drawn))

    def explain_empty(self, split: str, folder: Path) -> str:
        return (
            f"There are no pictures for the {split} split of ImageNet in class folders of {folder.absolute()}: "
            f"{self.OBTAIN}; {WITHOUT}."
        )


class Folder(PictureDataModule):
    """Any folder of pictures, searched recursively; a hash of its relative name decides a picture's split.

    So a picture stays in its split when others come or go.

    Args:
        root: the folder.
        folders: the folders of `root` to search, as paths relative to it; "." is all of it.
        pattern: which file names count, with * and ? (case matters).
        split: the parts of training, validation and test pictures, with sum 1; [0, 0, 1] tests on everything.
        (the others as in `PictureDataModule`)

    Raises:
        UserError: `split` is not three parts with sum 1.
    """

    def __init__(
        self, root: str | Path, *, folders: Sequence[str], pattern: str, split: Sequence[float], **common: Any
    ) -> None:
        super().__init__(**common)
        self.root, self.folders, self.pattern, self.split = Path(root), tuple(folders), pattern, tuple(split)
        if len(self.split) != 3 or min(self.split) < 0 or abs(sum(self.split) - 1) > 1e-6:
            raise UserError(
                f"data.split is {list(self.split)}, but must be three parts (training, validation, test), sum 1."
            )

    def find(self) -> Splits:
        for folder in (self.root, *(self.root / name for name in self.folders)):
            if not folder.is_dir():
                raise UserError(
                    f"Pictures were expected in the folder {folder.absolute()}, which does not exist: set data.root "
                    f"to any folder of your own pictures; {WITHOUT}."
                )
        found = {
            (self.root / folder / name).relative_to(self.root).as_posix()
            for folder in self.folders
            for name in pictures_under(self.root / folder, self.pattern).names
        }
        splits: tuple[list[str], list[str], list[str]] = ([], [], [])
        training, validation, testing = self.split
        for name in sorted(found):
            place = int(_digest(name)[:13], 16) / 16**13  # 52 bits: exact in a float, and below 1
            # Without test pictures, rounding must not leave a gap below 1 that sends a picture there.
            in_validation = place < training + validation or testing == 0
            splits[0 if place < training else 1 if in_validation else 2].append(name)
        if training + validation > 1 - 1e-6:  # 0.9 + 0.1 may round to just below 1, and no picture falls in that gap
            splits[1].extend(splits[2])
            splits[2].clear()
        return Splits(*(Files(self.root, names) for names in splits))

    def explain_empty(self, split: str, folder: Path) -> str:
        return (
            f"There are no pictures of the {split} split in {folder.absolute()} (data.pattern {self.pattern!r}, "
            f"data.split {list(self.split)}): add pictures or change these settings; {WITHOUT}."
        )


class Sample(PictureDataModule):
    """The photographs inside scikit-image's wheel: nothing to download, for trying things out, not for results.

    The test pictures are textures, which a network trained on so little can be expected to continue.
    """

    TRAIN: ClassVar[list[str]] = [
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "ihc.png",
        "moon.png",
        "motorcycle_left.png",  # the two motorcycles are one scene: they stay on one side
        "motorcycle_right.png",
        "retina.jpg",
    ]
    VAL: ClassVar[list[str]] = ["camera.png", "rocket.jpg"]
    TEST: ClassVar[list[str]] = ["brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg"]

    def find(self) -> Splits:
        # Not skimage.data.astronaut() and the like: for a file that a wheel lacks, they go to the network.
        package = importlib.util.find_spec("skimage")
        root = Path(package.origin or "").parent / "data" if package else Path("skimage/data")
        missing = [name for name in (*self.TRAIN, *self.VAL, *self.TEST) if not (root / name).is_file()]
        if missing:
            raise UserError(
                f"The photographs of data=sample ship with scikit-image, but {root} lacks {', '.join(missing)}: "
                "reinstall scikit-image from its wheel, or use your own with data=folder data.root=FOLDER."
            )
        return Splits(Files(root, self.TRAIN), Files(root, self.VAL), Files(root, self.TEST))

    def explain_empty(self, split: str, folder: Path) -> str:
        return f"The {split} split of data=sample is empty: set data.test_pictures to at least 1, or to null."


def unchecked(hole: Hole) -> Hole:
    """A plain partial in place of Hydra's, whose checks at every call would be a fifth of the time of a sample."""
    return partial(hole.func, *hole.args, **hole.keywords) if isinstance(hole, partial) else hole


def check_whole(name: str, value: Any, least: int, or_none: bool = False) -> None:
    """Raises a UserError unless the value is a whole number, and not too small."""
    if or_none and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"data.{name} is {value!r}, but must be a whole number of at least {least}.")


def pictures_under(folder: Path, pattern: str = "*") -> Files:
    """All pictures (by suffix, in any case) anywhere under a folder; none where it does not exist.

    Hidden files and folders are left out: archives made on a Mac add `._name.jpg`, which is no picture.
    """
    names: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse if folder.is_dir() else None):
        if (real := os.path.realpath(here)) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        names.extend(prefix + name for name in files if _is_picture(name) and fnmatchcase(name, pattern))
    return Files(folder, sorted(names))


def class_pictures(folder: Path) -> Files:
    """All pictures in the class folders (one level) of a folder, from the cached list while it holds."""
    if not folder.is_dir():
        return Files(folder, [])
    try:
        with os.scandir(folder) as entries:
            classes = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
    except OSError as error:
        _refuse(error)
    classes = [(name, changed) for name, changed in classes if not name.startswith(".")]

    def scan() -> list[str]:
        log.info("Listing the pictures of %s", folder)
        names: list[str] = []
        for name, _ in classes:
            try:
                with os.scandir(folder / name) as entries:
                    names.extend(f"{name}/{entry.name}" for entry in entries if _is_picture(entry.name))
            except OSError as error:
                _refuse(error)
        return sorted(names)

    # The folders' times were read before their contents: a change in between is noticed next time.
    return Files(folder, cached_list(str(folder.resolve()), _digest(repr(classes)), scan))


def cached_list(key: str, stamp: str, make: Callable[[], list[str]]) -> list[str]:
    """`make()`, kept in the user's cache folder under `key` for as long as `stamp` stays the same.

    A cache that cannot be read or written costs time only.
    """
    path = platformdirs.user_cache_path("neural-patch-synthesis") / f"index_{_digest(key)[:16]}.json"
    try:
        cached = json.loads(path.read_text())
        if cached["key"] == key and cached["stamp"] == stamp:
            return [str(name) for name in cached["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    names = make()
    try:
        with atomic(path) as beside:
            beside.write_text(json.dumps({"key": key, "stamp": stamp, "names": names}))
    except UserError as error:
        log.info("The list of pictures is not cached: %s", error)
    return names


def draw(names: Sequence[str], count: int | None, key: str) -> list[str]:
    """`count` of the names (None: all), sorted: those whose hash with the key comes first.

    So most of a draw stays the same when names come or go.
    """
    return sorted(sorted(names, key=lambda name: _digest(f"{key} {name}"))[:count])


def hold_out(files: Files, count: int) -> tuple[Files, Files]:
    """Parts `files` in those to train on and those, `count` or at most a tenth, to validate on."""
    held = set(draw(files.names, min(count, len(files.names) // 10), "validation"))
    rest = [name for name in files.names if name not in held]
    return Files(files.root, rest), Files(files.root, sorted(held))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from None
