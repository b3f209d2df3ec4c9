"""The data sets that are supported: where the pictures of each lie, and how they are split.

Their further arguments are those of `PictureDataModule`.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from inpaint.data.datamodule import PictureDataModule, PictureFiles, Splits, check_whole
from inpaint.data.listing import class_pictures, digest, pictures_under
from inpaint.errors import UserError

WITHOUT = "data=sample works without it"


class ParisStreetView(PictureDataModule):
    """Paris StreetView as distributed.

    Training pictures lie anywhere under `root/paris_train_original/` (some copies nest the folder once more), test
    pictures under `root/paris_eval/paris_eval_gt/`.

    Args:
        train_folder: another folder to train on, relative to `root` (or absolute): test pictures are easier to get.
        validation_pictures: training pictures held out for validation; at most a tenth of them.
    """

    remedy = f"its authors give it out on request (https://github.com/pathak22/context-encoder); {WITHOUT}"

    def __init__(self, root: str | Path, *, validation_pictures: int, train_folder: str | Path, **common: Any) -> None:
        super().__init__(**common)
        check_whole(0, validation_pictures=validation_pictures)
        self.root, self.train_folder = Path(root).expanduser(), Path(train_folder).expanduser()
        self.validation_pictures = validation_pictures

    def find(self) -> Splits:
        expect(self.root, "paris_train_original/ and paris_eval/paris_eval_gt/ of Paris StreetView", self.remedy)
        training, testing = self.root / self.train_folder, self.root / "paris_eval" / "paris_eval_gt"
        train, val = hold_out(PictureFiles(training, pictures_under(training)), self.validation_pictures)
        return train, val, PictureFiles(testing, pictures_under(testing))


class ImageNet(PictureDataModule):
    """ImageNet as unpacked: `root/train/<wnid>/*` and `root/val/<wnid>/*`.

    Validation pictures are held out from train, test pictures are chosen from val. The lists are kept in the user's
    cache folder until a class folder changes.

    Args:
        test_seed: of the choice of test pictures, which the training's seed does not change.
        validation_pictures: training pictures held out for validation; at most a tenth of them.
    """

    remedy = f"register at https://image-net.org for ILSVRC 2012 and sort val into class folders as well; {WITHOUT}"

    def __init__(self, root: str | Path, *, test_seed: int, validation_pictures: int, **common: Any) -> None:
        super().__init__(**common)
        check_whole(0, validation_pictures=validation_pictures)
        self.root, self.test_seed, self.validation_pictures = Path(root).expanduser(), test_seed, validation_pictures

    def find(self) -> Splits:
        expect(self.root, "train/<wnid>/ and val/<wnid>/ of ImageNet", self.remedy)
        training, testing = self.root / "train", self.root / "val"
        train, val = hold_out(PictureFiles(training, class_pictures(training)), self.validation_pictures)
        test = choose(class_pictures(testing), self.test_pictures, f"test {self.test_seed}")
        return train, val, PictureFiles(testing, test)


class Folder(PictureDataModule):
    """Any folder of pictures, searched recursively; a hash of its relative name decides a picture's split.

    So a picture stays in its split when others come or go.

    Args:
        folders: the folders of `root` to search, as paths relative to it; "." is all of it.
        pattern: which file names count, with * and ? (case matters).
        split: the parts of training, validation and test pictures, with sum 1 (else a UserError).
    """

    def __init__(
        self, root: str | Path, *, folders: Sequence[str], pattern: str, split: Sequence[float], **common: Any
    ) -> None:
        super().__init__(**common)
        self.root, self.folders = Path(root).expanduser(), tuple(folders)  # no shell expands data.root=~/pictures
        self.pattern, self.split = pattern, tuple(split)
        if len(self.split) != 3 or min(self.split) < 0 or abs(sum(self.split) - 1) > 1e-6:
            raise UserError(
                f"data.split is {list(self.split)}, but must be three shares (training, validation, test), sum 1."
            )
        self.remedy = (
            f"add pictures, or change data.pattern ({pattern!r}) or data.split ({list(self.split)}); {WITHOUT}"
        )

    def find(self) -> Splits:
        for folder in (self.root, *(self.root / name for name in self.folders)):
            expect(folder, "Pictures", f"any folder of pictures will do; {WITHOUT}")
        found = {
            (self.root / folder / name).relative_to(self.root).as_posix()
            for folder in self.folders
            for name in pictures_under(self.root / folder, self.pattern)
        }
        train, val, test = (PictureFiles(self.root, []) for _ in self.split)
        training, validation, _ = self.split
        both = training + validation
        for name in sorted(found):
            place = int(digest(name)[:13], 16) / 16**13  # 52 bits: exact in a float, and below 1
            # 0.9 + 0.1 may round to just below 1, and no picture falls in that gap
            split = train if place < training else val if place < both or both > 1 - 1e-6 else test
            split.names.append(name)
        return train, val, test


class Sample(PictureDataModule):
    """The photographs inside scikit-image's wheel: nothing to download, for trying things out, not for results.

    The test pictures are textures, which a network trained on so little can be expected to continue.
    """

    remedy = "reinstall scikit-image from its wheel, or use your own with data=folder data.root=FOLDER"
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
                f"{self.remedy}."
            )
        return PictureFiles(root, self.TRAIN), PictureFiles(root, self.VAL), PictureFiles(root, self.TEST)


def expect(folder: Path, content: str, remedy: str) -> None:
    """Raises a UserError unless the folder exists that should hold this."""
    if not folder.is_dir():
        where = folder.absolute()
        raise UserError(f"{content} were expected in {where}, which does not exist: set data.root; {remedy}.")


def choose(names: Sequence[str], count: int | None, key: str) -> list[str]:
    """`count` of the names (None: all), sorted; most of the choice stays the same when names come or go."""
    return sorted(sorted(names, key=lambda name: digest(f"{key} {name}"))[:count])


def hold_out(files: PictureFiles, count: int) -> tuple[PictureFiles, PictureFiles]:
    """Parts files into those to train on and those, `count` or at most a tenth, to validate on."""
    held = set(choose(files.names, min(count, len(files.names) // 10), "validation"))
    rest = [name for name in files.names if name not in held]
    return PictureFiles(files.root, rest), PictureFiles(files.root, sorted(held))
