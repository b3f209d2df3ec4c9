"""PyTorch datasets of pictures with holes: centre squares for evaluation, random crops for training.

Everything random is drawn from a generator made of the sample's own keys: the same seed gives the same pictures,
crops and holes whatever the number of workers, and two ranks or epochs never share them by accident.

An unreadable file is skipped: the next readable one takes its place, so that batches keep their size (in an
evaluation that picture then comes twice, under one id).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from inpaint.data.listing import Names, picture_id, picture_ids
from inpaint.data.mask_files import MaskFiles
from inpaint.data.mask_reading import centre_hole, cropped_hole, drawn_hole
from inpaint.data.masks import Hole, check_range, hole_generator
from inpaint.errors import UserError
from inpaint.imaging.crops import Crop, centre_crop, cut, random_crop
from inpaint.imaging.pixels import Mask, resize
from inpaint.imaging.reading import read_pixels

UNREADABLE_SHARE = 0.01  # of a data set: with more unreadable files something is wrong with it
LEAST_SIDE = 8  # pixels; a picture whose shorter side has fewer is no photograph, and counts as unreadable


class Pictures(Dataset):
    """Files of pictures, and what samples of them have in common.

    A sample is {"id": str, "picture": [3, size, size], "mask": [1, size, size], "unreadable": list[str]}. The last
    holds the paths of the files that were skipped on the way to this picture. A sample with too many of them has no
    other key, and the run is about to stop; so it is with one that has a "fault", which says why its mask cannot be
    used.

    Args:
        root, names: a folder, and the files relative to it, with "/" between folders.
        size: side of the square samples, in pixels.
        hole: draws a mask of a given size (see `inpaint.data.masks`); or says which files are masks.
        seed: of crops and holes.
    """

    def __init__(self, root: str | Path, names: Sequence[str], *, size: int, hole: Hole | MaskFiles, seed: int) -> None:
        self.root, self.size, self.hole, self.seed = Path(root), size, hole, seed
        self._names = Names(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return self._names[index]

    @property
    def names(self) -> list[str]:
        return [*self._names]

    @cached_property
    def masks(self) -> Names:
        """The files of the masks, where holes are from files: each picture's own, or the set to draw from.

        Raises:
            UserError: see `MaskFiles`.
        """
        return Names(self._find_masks(self.hole) if isinstance(self.hole, MaskFiles) and len(self) else [])

    @abstractmethod
    def _find_masks(self, hole: MaskFiles) -> list[str]: ...

    def check_holes(self) -> None:
        """Refuses holes that cannot be drawn, and masks that cannot be used, as far as that can be said beforehand.

        Raises:
            UserError, TypeError, ValueError: whatever the hole raises.
        """
        if not isinstance(self.hole, MaskFiles):
            self.hole((self.size, self.size), hole_generator(0))
        elif len(self):
            self._check_masks(self.hole)

    def _check_masks(self, hole: MaskFiles) -> None:
        hole.check(self.masks, self.size, (self.root / name for name in self._names))

    @cached_property
    def ids(self) -> list[str]:
        """The pictures' ids, in order, unique in this data set."""
        return picture_ids(self.names)

    @property
    def unreadable_allowed(self) -> int:
        """How many unreadable files are skipped before the run stops."""
        return math.floor(UNREADABLE_SHARE * len(self))

    def can_be_read(self, name: str) -> bool:
        """Whether a file is not skipped; reads all of it."""
        return read_photograph(self.root / name) is not None

    def _read(
        self, index: int, enough: float | None = None
    ) -> tuple[int, UInt8[Tensor, "3 height width"] | None, list[str]]:
        """Reads the picture at the index, or the next readable one: its index, its pixels, and the paths skipped.

        The pixels are None where these are too many. See `read_pixels` for `enough`.
        """
        unreadable: list[str] = []
        while len(unreadable) <= self.unreadable_allowed:
            path = self.root / self.name(index)
            if (pixels := read_photograph(path, enough)) is not None:
                return index, pixels, unreadable
            unreadable.append(str(path))
            index = (index + 1) % len(self)
        return index, None, unreadable


def read_photograph(path: Path, enough: float | None = None) -> UInt8[Tensor, "3 height width"] | None:
    """The pixels of a picture, see `read_pixels`; None if it cannot be read or is too small."""
    try:
        pixels = read_pixels(path, enough)
    except UserError:
        return None
    return pixels if min(pixels.shape[1:]) >= LEAST_SIDE else None


class EvaluationPictures(Pictures):
    """Samples for evaluation: each picture's centre square, resized, in [0, 1], with a hole fixed by seed and id.

    A hole from a file is that of `masks` at the picture's index.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        index, pixels, unreadable = self._read(index)
        if pixels is None:
            return {"unreadable": unreadable}
        try:
            mask = self._mask(index)
        except UserError as error:
            return {"fault": str(error), "unreadable": unreadable}
        return {
            "id": self.ids[index],
            "picture": centre_crop(pixels.contiguous() / 255, self.size),
            "mask": mask,
            "unreadable": unreadable,
        }

    def _find_masks(self, hole: MaskFiles) -> list[str]:
        return hole.fixed(self.root, self.names, self.ids, self.seed, self.size)

    def _mask(self, index: int) -> Mask:
        if isinstance(self.hole, MaskFiles):
            return centre_hole(self.masks[index], self.size, self.hole.invert)
        return self.hole((self.size, self.size), hole_generator("evaluation", self.seed, self.ids[index]))


class SampleKey(NamedTuple):
    """Names a training sample: the picture's index, and what else its random choices depend on."""

    picture: int
    place: tuple[int, ...] = ()  # the rank, the epoch, and the position in that epoch


class TrainingPictures(Pictures):
    """Samples for training, as the Context Encoder takes them: random scale, random crop, half of them mirrored.

    The Context Encoder's code scales a picture's shorter side to 350 and crops 128: 0.366 of that side. Here the
    part is drawn from `crop_scale`, so that views as wide as those of the evaluation (1.0) are learnt as well.
    Ids are not made unique. A sample's picture is uint8 until `collate` makes numbers in [0, 1] of it. JPEGs are
    decoded no larger than the crop needs, which is faster.

    Args:
        crop_scale: smallest and largest side of a crop, as parts of the picture's shorter side; else a UserError.
        in_memory: keeps every picture once it was read, with 8 bits and as small as its smallest crop allows (about
            half a megabyte at 128). Each worker process keeps its own, so use it without workers.
    """

    def __init__(
        self, root: str | Path, names: Sequence[str], *, crop_scale: tuple[float, float], in_memory: bool, **common: Any
    ) -> None:
        super().__init__(root, names, **common)
        check_range("crop_scale", crop_scale, 1)
        self.crop_scale, self.in_memory = crop_scale, in_memory
        self._kept: dict[int, UInt8[Tensor, "3 height width"]] = {}

    def __getitem__(self, key: int | SampleKey) -> dict[str, Any]:
        """The sample of a key; for a bare index (from Lightning's `overfit_batches`), always the same."""
        if not isinstance(key, SampleKey):
            key = SampleKey(key)
        generator = hole_generator("training", self.seed, *key.place, key.picture)
        crop = random_crop(self.crop_scale, generator)
        if self.in_memory:
            index, pixels, unreadable = self._read_once(key.picture)
        else:
            index, pixels, unreadable = self._read(key.picture, enough=max(self.size, LEAST_SIDE) / crop.part)
        if pixels is None:
            return {"unreadable": unreadable}
        height, width = pixels.shape[1:]
        try:
            crop, mask = self._crop_and_mask(index, (height, width), crop, generator)
        except UserError as error:
            return {"fault": str(error), "unreadable": unreadable}
        return {
            "id": picture_id(self.name(index)),
            "picture": cut(pixels, crop, self.size),
            "mask": mask,
            "unreadable": unreadable,
        }

    def _find_masks(self, hole: MaskFiles) -> list[str]:
        return hole.all(self.root, self.names, self.size)

    def _check_masks(self, hole: MaskFiles) -> None:
        if self.masks and not hole.paired:  # those of pairs, which may be a million, are read with their pictures
            super()._check_masks(hole)

    def _crop_and_mask(
        self, index: int, shape: tuple[int, int], crop: Crop, generator: torch.Generator
    ) -> tuple[Crop, Mask]:
        """The mask for a crop of the picture at the index; another crop where a picture's own mask has no hole."""
        if not isinstance(self.hole, MaskFiles):
            return crop, self.hole((self.size, self.size), generator)
        if self.hole.paired:
            own, invert = self.masks[index], self.hole.invert
            return cropped_hole(own, self.size, invert, shape, crop, self.crop_scale, generator)
        path = self.masks[int(torch.randint(len(self.masks), (), generator=generator))]
        return crop, drawn_hole(path, self.size, self.hole.invert, generator)

    def _read_once(self, index: int) -> tuple[int, UInt8[Tensor, "3 height width"] | None, list[str]]:
        """As `_read`, but from memory where the picture was read before."""
        if index not in self._kept:
            found, pixels, unreadable = self._read(index)
            if unreadable or pixels is None:
                return found, pixels, unreadable
            height, width = pixels.shape[1:]
            shrink = min(1.0, math.ceil(self.size / self.crop_scale[0]) / min(height, width))
            self._kept[index] = resize(pixels[None], (round(height * shrink), round(width * shrink)))[0]
        return index, self._kept[index], []
