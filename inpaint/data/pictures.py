"""Data sets of pictures with holes, and the batches made of them.

Everything random is drawn from a generator made of the draw's own keys: the same seed gives the same pictures,
crops and holes whatever the number of workers, and two ranks or epochs never share them by accident.

An unreadable file is skipped: the next readable one takes its place, so that batches keep their size (in an
evaluation that picture then comes twice, under one id). The unreadable file's path travels to the main process
in the batch's "unreadable".
"""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from inpaint.data.masks import Hole, hole_generator
from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_pixels

UNREADABLE_SHARE = 0.01
"""More unreadable files than this share of a data set mean that something is wrong with the data set."""
LEAST_SIDE = 8
"""Pixels; a picture whose shorter side has fewer is no photograph, and counts as unreadable."""


class Draw(NamedTuple):
    """One training sample to be made: which picture, and the keys of its random choices."""

    picture: int
    keys: tuple[int, ...] = ()


class View(NamedTuple):
    """A random square of a picture: its side and place as parts of what is there, and whether it is mirrored."""

    part: float  # of the shorter side
    down: float  # from 0, the top, to 1, the bottom
    across: float
    flip: bool

    def box(self, height: int, width: int) -> tuple[int, int, int]:
        """Its top, left and side in a picture of that size, in pixels."""
        side = max(1, round(min(height, width) * self.part))
        return int(self.down * (height - side + 1)), int(self.across * (width - side + 1)), side


class Pictures(Dataset):
    """Evaluation samples: the centre square of each picture, resized, with a hole fixed by (seed, id).

    A sample is {"id": str, "picture": [3, size, size] in [0, 1], "mask": [1, size, size], "unreadable": list[str]}.
    The last holds the paths of the files that were skipped on the way to this picture, usually none. A sample
    with too many of them has no other key, and the run is about to stop.

    Args:
        root: the folder that the names are relative to.
        names: the files, with "/" between folders.
        size: side of the square samples, in pixels.
        hole: draws a mask of a given size (see `inpaint.data.masks`).
        seed: of the holes.
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

    @property
    def unreadable_allowed(self) -> int:
        return math.floor(UNREADABLE_SHARE * len(self))

    def __getitem__(self, index: int) -> dict[str, Any]:
        index, pixels, unreadable = self._read(index)
        if pixels is None:
            return {"unreadable": unreadable}
        identifier = self.ids[index]
        generator = hole_generator("evaluation", self.seed, identifier)
        return {
            "id": identifier,
            "picture": centre_crop(pixels.contiguous() / 255, self.size),
            "mask": self.hole((self.size, self.size), generator),
            "unreadable": unreadable,
        }

    @property
    def ids(self) -> list[str]:
        """The pictures' ids, in order: file-name safe and unique in this data set."""
        if not hasattr(self, "_ids"):
            self._ids = identifiers(self.names)
        return self._ids

    def _read(
        self, index: int, view: View | None = None
    ) -> tuple[int, UInt8[Tensor, "3 height width"] | None, list[str]]:
        """The picture at the index, or the next readable one: its index, itself, and the paths skipped."""
        unreadable: list[str] = []
        enough = max(self.size, LEAST_SIDE) / view.part if view else None
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


class Crops(Pictures):
    """Training samples, as the Context Encoder takes them: random scale, random crop, a flip in half of the cases.

    The Context Encoder's code scales a picture's shorter side to 350 and crops 128: 0.366 of that side. Here the
    part is drawn from `crop_scale`, so that views as wide as those of the evaluation (1.0) are learnt as well.
    Ids are those of `identifier`, not made unique. A sample's picture is uint8, [3, size, size], until `collate` makes
    numbers in [0, 1] of it. JPEGs are decoded no larger than the crop needs, which is faster.

    Args:
        crop_scale: smallest and largest side of a crop, as parts of the picture's shorter side.
        in_memory: keeps every picture once it was read, with 8 bits and as small as its smallest crop allows (about
            half a megabyte at 128). Each worker process keeps its own, so it goes with none of them.
        (the others as in `Pictures`)

    Raises:
        UserError: `crop_scale` is no range within (0, 1].
    """

    def __init__(
        self,
        root: str | Path,
        names: Sequence[str],
        *,
        size: int,
        hole: Hole,
        seed: int,
        crop_scale: tuple[float, float],
        in_memory: bool = False,
    ) -> None:
        super().__init__(root, names, size=size, hole=hole, seed=seed)
        self.in_memory = in_memory
        self._kept: dict[int, UInt8[Tensor, "3 height width"]] = {}
        low, high = crop_scale
        if not 0 < low <= high <= 1:
            raise UserError(f"crop_scale is [{low}, {high}], but must be a range within (0, 1], smaller value first.")
        self.crop_scale = (low, high)

    def __getitem__(self, draw: int | Draw) -> dict[str, Any]:
        """The sample of a draw; for a bare index (from Lightning's `overfit_batches`), always the same."""
        if not isinstance(draw, Draw):
            draw = Draw(draw)
        generator = hole_generator("training", self.seed, *draw.keys, draw.picture)
        view = random_view(self.crop_scale, generator)
        index, pixels, unreadable = self._read(draw.picture, view)
        if pixels is None:
            return {"unreadable": unreadable}
        return {
            "id": identifier(self.name(index)),
            "picture": crop(pixels, self.size, view),
            "mask": self.hole((self.size, self.size), generator),
            "unreadable": unreadable,
        }

    def _read(
        self, index: int, view: View | None = None
    ) -> tuple[int, UInt8[Tensor, "3 height width"] | None, list[str]]:
        if not self.in_memory:
            return super()._read(index, view)
        if index not in self._kept:
            found, pixels, unreadable = super()._read(index)
            if unreadable or pixels is None:
                return found, pixels, unreadable
            height, width = pixels.shape[1:]
            shrink = min(1.0, math.ceil(self.size / self.crop_scale[0]) / min(height, width))
            self._kept[index] = resize(pixels[None], (round(height * shrink), round(width * shrink)))[0]
        return index, self._kept[index], []


def centre_crop(picture: Float[Tensor, "3 height width"], size: int) -> Float[Tensor, "3 size size"]:
    """The largest centred square of a picture, resized."""
    height, width = picture.shape[1:]
    side = min(height, width)
    return _cut(picture, (height - side) // 2, (width - side) // 2, side, size).clamp(0, 1)


def random_view(scale: tuple[float, float], generator: torch.Generator) -> View:
    """A view whose side is drawn from `scale`; every second one is mirrored."""
    part, down, across, flip = torch.rand(4, generator=generator).tolist()
    return View(scale[0] + (scale[1] - scale[0]) * part, down, across, flip < 0.5)


def crop(picture: Shaped[Tensor, "3 height width"], size: int, view: View) -> Shaped[Tensor, "3 size size"]:
    """A view of a picture, resized."""
    square = _cut(picture, *view.box(*picture.shape[1:]), size)
    return square.flip(-1) if view.flip else square


def _cut(
    picture: Shaped[Tensor, "3 height width"], top: int, left: int, side: int, size: int
) -> Shaped[Tensor, "3 size size"]:
    square = picture[None, :, top : top + side, left : left + side]
    return resize(square.contiguous(memory_format=torch.channels_last), (size, size))[0]  # faster than as it lies


def identifier(name: str) -> str:
    """A file's relative name as a file name: no suffix, "__" between folders, no character that file systems refuse."""
    stem = name[: -len(suffix)] if (suffix := os.path.splitext(name)[1]) else name
    safe = re.sub(r"[^\w.-]", "_", stem.replace("/", "__"))
    # File systems take 255 bytes; a character takes up to four.
    return safe if len(safe.encode()) <= 120 else f"{safe.encode()[:100].decode(errors='ignore')}-{_short_hash(name)}"


def identifiers(names: Sequence[str]) -> list[str]:
    """The files' identifiers; those that differ in suffix or case only are told apart by a short hash."""
    plain = [identifier(name) for name in names]
    uses = Counter(text.casefold() for text in plain)
    return [
        text if uses[text.casefold()] == 1 else f"{text}-{_short_hash(name)}"
        for text, name in zip(plain, names, strict=True)
    ]


def _short_hash(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
