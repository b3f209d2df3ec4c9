"""A data set: pictures whose splits stand in a list."""

import csv
from pathlib import Path
from typing import Any

import skimage

from inpaint.data.datamodule import PictureDataModule, PictureFiles, Splits
from inpaint.errors import UserError


class Listed(PictureDataModule):
    """Pictures with a list that says, line by line, which is for what: `chelsea.png,train`; also `val` and `test`.

    Args:
        root: the folder of the pictures; None: the photographs inside scikit-image's wheel.
        pictures: the list, a .csv file.
        common: the arguments of all data sets, see `PictureDataModule`.

    Raises:
        UserError: the list cannot be read.
    """

    remedy = "see which splits the list names"

    def __init__(self, root: str | Path | None, *, pictures: str | Path, **common: Any) -> None:
        super().__init__(**common)
        self.root = Path(skimage.__file__).parent / "data" if root is None else Path(root)
        self.pictures = Path(pictures)

    def find(self) -> Splits:
        """The files of the three splits."""
        splits = {name: PictureFiles(self.root, []) for name in ("train", "val", "test")}
        try:
            with self.pictures.open(newline="", encoding="utf-8") as file:
                for name, split in csv.reader(file):
                    splits[split].names.append(name)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{self.pictures} is no list of lines like 'chelsea.png,train': {error}.") from None
        return splits["train"], splits["val"], splits["test"]
