"""Holes from files: a set of masks, or a mask for each picture. `inpaint.data.mask_reading` says what a mask means.

In an evaluation each picture has one mask, which is chosen beforehand. In training a set's masks are drawn anew for
every sample, and mirrored at random. Of a set's mask the largest centred square is taken; a mask that belongs to a
picture has its size, and is cropped with it.
"""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from inpaint.data.listing import pictures_under
from inpaint.data.mask_reading import centre_hole, check_same_size, hole_share
from inpaint.data.masks import hole_generator
from inpaint.data.pairs import Masks, listed_pairs, masks_among
from inpaint.errors import UserError, first_of

log = logging.getLogger(__name__)

ORDERS = ("sorted", "drawn", "by_name")
Item = TypeVar("Item")


class MaskFiles(ABC):
    """Holes that are read from files, where otherwise a function draws them (`inpaint.data.masks.Hole`).

    Pictures are given as a folder and their names below it. Methods raise a UserError where masks are missing, cannot
    be used, or cannot be told from pictures.

    Args:
        invert: black is the hole.

    Attributes:
        paired: whether each mask is that of one picture, and has its size; else they are a set.
    """

    paired: bool

    def __init__(self, *, invert: bool) -> None:
        self.invert = invert

    @abstractmethod
    def among(self, root: Path, names: Sequence[str]) -> set[str]:
        """Which files of a data set are masks, and no pictures."""

    @abstractmethod
    def all(self, root: Path, names: Sequence[str], size: int) -> list[str]:
        """The files of the masks for squares of this size: those of the set; or of each picture its own."""

    def fixed(self, root: Path, names: Sequence[str], ids: Sequence[str], seed: int, size: int) -> list[str]:
        """The file of each picture's mask in an evaluation."""
        return self.all(root, names, size)

    def check(self, masks: Iterable[str], size: int, pictures: Iterable[Path]) -> None:
        """Reads each mask once, as holes of squares of this size; those of pairs must have their picture's size."""
        if self.paired:
            masks = [*masks]
            side_by_side(lambda pair: check_same_size(Path(pair[0]), pair[1]), zip(masks, pictures, strict=True))
        side_by_side(lambda path: centre_hole(path, size, self.invert), dict.fromkeys(masks))


class MaskFolder(MaskFiles):
    """Holes from a folder, searched recursively.

    Args:
        root: the folder.
        order: how a mask is found for a picture of an evaluation: `sorted`, the first one takes the first mask, and
            after the last one comes the first again; `drawn` by the data's seed and the picture's id; `by_name`, each
            picture has its own: photo1.png, photo1_mask.png and the like for photo1.jpg (`inpaint.data.pairs.Masks`),
            which may lie among the pictures. In training, masks of a set are always drawn.
        area: only masks of whose centre square more than the first and at most the second part is hole, at the size
            at which it is used (where shrunk holes have a larger part than in their files); for sets alone. None: all.

    Raises:
        UserError: `order` or `area` is none of these.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        order: Literal["sorted", "drawn", "by_name"],
        invert: bool,
        area: tuple[float, float] | None,
    ) -> None:
        super().__init__(invert=invert)
        self.root, self.order, self.area = Path(root).expanduser(), order, area
        self.paired = order == "by_name"
        self._sets: dict[int, list[str]] = {}  # the masks of the set, by the size at which they are used
        if order not in ORDERS:
            raise UserError(f"A hole's order is {order!r}, but must be sorted, drawn or by_name.")
        if area is not None and not 0 <= area[0] < area[1] <= 1:
            raise UserError(f"A hole's area is {list(area)}, but must be two parts within [0, 1], smaller value first.")
        if area is not None and self.paired:
            raise UserError("A hole's area chooses masks of a set: leave it out with order=by_name.")

    def among(self, root: Path, names: Sequence[str]) -> set[str]:
        if not self.root.is_dir():
            raise UserError(
                f"Masks were expected in {self.root.absolute()}, which does not exist: set the hole's root, as in "
                "data.evaluation_hole.root=FOLDER."
            )
        below = names_below(self.root, root, names)
        if len(below) < len(names) or not names:  # a folder of masks, which may lie in that of the pictures
            if self.paired and masks_among(below.values()):
                raise UserError(
                    f"{self.root} holds pictures beside their masks, but not all pictures of {root}: give the root "
                    f"that holds all pictures, as in data.evaluation_hole.root={root}."
                )
            return set(below)
        if not self.paired:
            raise UserError(
                f"{self.root} holds the pictures themselves: give the masks a folder of their own, or order=by_name."
            )
        masks = masks_among(below.values())
        return {name for name, place in below.items() if place in masks}

    def all(self, root: Path, names: Sequence[str], size: int) -> list[str]:
        if self.paired:
            return self._of_pictures(root, names)
        if size not in self._sets:
            self._sets[size] = self._of_the_set(size)
        return self._sets[size]

    def fixed(self, root: Path, names: Sequence[str], ids: Sequence[str], seed: int, size: int) -> list[str]:
        masks = self.all(root, names, size)
        if self.order == "sorted":
            return [masks[number % len(masks)] for number in range(len(names))]
        if self.order == "drawn":
            generators = (hole_generator("mask", seed, one) for one in ids)
            return [masks[int(torch.randint(len(masks), (), generator=generator))] for generator in generators]
        return masks

    def _of_the_set(self, size: int) -> list[str]:
        masks, asked = [str(self.root / name) for name in pictures_under(self.root)], ""
        if masks and self.area is not None:
            log.info("Measuring the holes of the %d masks in %s at %d x %d", len(masks), self.root, size, size)
            low, high = self.area
            shares = side_by_side(lambda mask: hole_share(mask, size, self.invert), masks)
            masks = [mask for mask, share in zip(masks, shares, strict=True) if low < share <= high]
            asked = f" of whose centre square more than {low:.0%} and at most {high:.0%} is hole at {size} x {size}"
        if not masks:
            raise UserError(f"There are no masks in {self.root}{asked}.")
        return masks

    def _of_pictures(self, root: Path, names: Sequence[str]) -> list[str]:
        below = names_below(self.root, root, names)
        photos = [below.get(name, name) for name in names]
        found = pictures_under(self.root)
        masks = Masks(self.root, masks_among(found) if below else found, photos, bool(below))
        paths: list[str] = []
        faults: dict[str, str] = {}
        for name, photo in zip(names, photos, strict=True):
            try:
                paths.append(str(masks.of(photo)))
            except UserError as error:
                faults[name] = str(error)
        refuse(faults, len(names), f"cannot be given a mask of {self.root}")
        return paths


class MaskList(MaskFiles):
    """Holes from a list of pairs, as `python -m inpaint.fill` takes it: a line `photo,mask` for each picture.

    Args:
        file: the list; relative paths in it begin at its folder. It may name further pictures.
    """

    paired = True

    def __init__(self, file: str | Path, *, invert: bool) -> None:
        super().__init__(invert=invert)
        self.file = Path(file).expanduser()

    def among(self, root: Path, names: Sequence[str]) -> set[str]:
        place, pairs = places(), self._pairs()
        masks = {place(mask) for _, mask in pairs.values()} - pairs.keys()
        return {name for name in names if place(root / name) in masks}

    def all(self, root: Path, names: Sequence[str], size: int) -> list[str]:
        place, pairs = places(), self._pairs()
        paths: list[str] = []
        faults: dict[str, str] = {}
        for name in names:
            where, mask = pairs.get(place(root / name), ("", Path()))
            if not where:
                faults[name] = f"there is no line for {root / name}"
            elif not mask.is_file():
                faults[name] = f"{where}there is no mask {mask}"
            paths.append(str(mask))
        refuse(faults, len(names), f"cannot be given a mask by {self.file}")
        return paths

    def _pairs(self) -> dict[str, tuple[str, Path]]:
        """Where the list names a picture, and the picture's mask, by the picture's place."""
        if not self.file.is_file():
            raise UserError(
                f"A list of masks was expected in {self.file.absolute()}, which is no file: set the hole's file, as in "
                "data.evaluation_hole.file=LIST."
            )
        place, here = places(), self.file.parent
        pairs: dict[str, tuple[str, Path]] = {}
        for where, *fields in listed_pairs(self.file):
            picture, mask = (here / os.path.expanduser(field) for field in fields)
            if (key := place(picture)) in pairs:
                raise UserError(f"{where}{picture} is named a second time, and each picture has one mask.")
            pairs[key] = where, mask
        return pairs


def names_below(folder: Path, root: Path, names: Iterable[str]) -> dict[str, str]:
    """Those of the files `root / name` that lie below a folder: by name, their names relative to it."""
    own, place = os.path.join(os.path.realpath(folder), ""), places()
    paths = {name: place(root / name) for name in names}
    return {name: Path(path.removeprefix(own)).as_posix() for name, path in paths.items() if path.startswith(own)}


def places() -> Callable[[Path], str]:
    """Makes a function that says where a file lies, whichever way its folder is named; quick for many of one folder."""
    real_folder = cache(os.path.realpath)
    return lambda path: os.path.join(real_folder(path.parent), path.name)


def refuse(faults: dict[str, str], pictures: int, what: str) -> None:
    """Raises a UserError that names the pictures with faults, and tells the first of these; does nothing without."""
    if faults:
        first = next(iter(faults.values())).rstrip(".")
        raise UserError(f"{len(faults)} of {pictures} pictures {what}: {first_of([*faults])}. Of the first: {first}.")


def side_by_side(function: Callable[[Item], Any], items: Iterable[Item]) -> list[Any]:
    """As `map`, by as many threads as there are cores; the first error ends it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
