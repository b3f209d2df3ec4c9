"""PyTorch datasets of pictures with holes: centre squares for evaluation, random crops for training.

Everything random is drawn from a generator made of the sample's own keys: the same seed gives the same pictures,
crops and holes whatever the number of workers, and two ranks or epochs never share them by accident.

An unreadable file is skipped: the next readable one takes its place, so that batches keep their size (in an
evaluation that picture then comes twice, under one id).
"""

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from inpaint.data.listing import picture_id, picture_ids
from inpaint.data.masks import Hole, check_range, hole_generator
from inpaint.errors import UserError
from inpaint.imaging.pixels import Picture, resize
from inpaint.imaging.reading import read_pixels

UNREADABLE_SHARE = 0.01  # of a data set: with more unreadable files something is wrong with it
LEAST_SIDE = 8  # pixels; a picture whose shorter side has fewer is no photograph, and counts as unreadable


class Pictures(Dataset):
    """Files of pictures, and what samples of them have in common.

    A sample is {"id": str, "picture": [3, size, size], "mask": [1, size, size], "unreadable": list[str]}. The last
    holds the paths of the files that were skipped on the way to this picture. A sample with too many of them has no
    other key, and the run is about to stop.

    Args:
        root, names: a folder, and the files relative to it, with "/" between folders.
        size: side of the square samples, in pixels.
        hole: draws a mask of a given size (see `inpaint.data.masks`).
        seed: of crops and holes.
    """

    def __init__(self, root: str | Path, names: Sequence[str], *, size: int, hole: Hole, seed: int) -> None:
        self.root, self.size, self.hole, self.seed = Path(root), size, hole, seed
        # One flat array: of a million Python strings each worker would soon hold a copy, since touching one
        # changes its reference count, and so its page of memory.
        self._names = np.array([os.fsencode(name) for name in names], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return os.fsdecode(self._names[index])

    @property
    def names(self) -> list[str]:
        return [self.name(index) for index in range(len(self))]

    @cached_property
    def ids(self) -> list[str]:
        """The pictures' ids, in order, unique in this data set."""
        return picture_ids(self.names)

    @property
    def unreadable_allowed(self) -> int:
        """How many unreadable files are skipped before the run stops."""
        return math.floor(UNREADABLE_SHARE * len(self))

    def _read(
        self, index: int, enough: float | None = None
    ) -> tuple[int, UInt8[Tensor, "3 height width"] | None, list[str]]:
        """Reads the picture at the index, or the next readable one: its index, its pixels, and the paths skipped.

        The pixels are None where these are too many. See `read_pixels` for `enough`.
        """
        unreadable: list[str] = []
        while len(unreadable) <= self.unreadable_allowed:
            path = self.root / self.name(index)
            try:
                pixels = read_pixels(path, enough)
                if min(pixels.shape[1:]) >= LEAST_SIDE:
                    return index, pixels, unreadable
            except UserError:
                pass
            unreadable.append(str(path))
            index = (index + 1) % len(self)
        return index, None, unreadable


class EvaluationPictures(Pictures):
    """Samples for evaluation: each picture's centre square, resized, in [0, 1], with a hole fixed by seed and id."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        index, pixels, unreadable = self._read(index)
        if pixels is None:
            return {"unreadable": unreadable}
        return {
            "id": self.ids[index],
            "picture": centre_crop(pixels.contiguous() / 255, self.size),
            "mask": self.hole((self.size, self.size), hole_generator("evaluation", self.seed, self.ids[index])),
            "unreadable": unreadable,
        }


class Crop(NamedTuple):
    """A square of a picture of any size: its side and place as parts of what there is, and whether it is mirrored."""

    part: float  # of the shorter side
    down: float  # from 0, the top, to 1, the bottom
    across: float
    flip: bool


def random_crop(scale: tuple[float, float], generator: torch.Generator) -> Crop:
    """Draws a crop whose side is a part within `scale` of the shorter side; half of the crops are mirrored."""
    part, down, across, flip = torch.rand(4, generator=generator).tolist()
    return Crop(scale[0] + (scale[1] - scale[0]) * part, down, across, flip < 0.5)


def cut(picture: Shaped[Tensor, "3 height width"], crop: Crop, size: int) -> Shaped[Tensor, "3 size size"]:
    """Cuts a crop out of a picture and resizes it."""
    height, width = picture.shape[1:]
    side = max(1, round(min(height, width) * crop.part))
    square = _square(picture, int(crop.down * (height - side + 1)), int(crop.across * (width - side + 1)), side, size)
    return square.flip(-1) if crop.flip else square


def centre_crop(picture: Picture, size: int) -> Float[Tensor, "3 size size"]:
    """Cuts the largest centred square out of a picture and resizes it."""
    height, width = picture.shape[1:]
    side = min(height, width)
    return _square(picture, (height - side) // 2, (width - side) // 2, side, size).clamp(0, 1)


def _square(
    picture: Shaped[Tensor, "3 height width"], top: int, left: int, side: int, size: int
) -> Shaped[Tensor, "3 size size"]:
    square = picture[None, :, top : top + side, left : left + side]
    return resize(square.contiguous(memory_format=torch.channels_last), (size, size))[0]  # faster than as it lies


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
        return {
            "id": picture_id(self.name(index)),
            "picture": cut(pixels, crop, self.size),
            "mask": self.hole((self.size, self.size), generator),
            "unreadable": unreadable,
        }

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
