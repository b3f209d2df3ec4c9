"""LightningModules that hand the test's pictures to other programs, and take what those made of them to be measured."""

import logging
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F

from inpaint.classical.result_files import check_size, find_results, refuse_missing
from inpaint.errors import UserError, first_of
from inpaint.files import state_of
from inpaint.imaging.crops import centre_crop
from inpaint.imaging.pixels import Mask, Picture, composite, white_hole
from inpaint.imaging.reading import read_picture, write_picture

log = logging.getLogger(__name__)

NOISE = 0.035  # root mean square error that JPEG of quality 75 leaves in the worst of photographs
UNFILLED = 0.05  # of the holes, at most, may be the truth to the bit
VARIED = 4  # of 255 levels, at least, between two pixels of a block that no program fills with the truth by chance


class Inputs(pl.LightningModule):
    """Writes the test pictures with their holes, as other programs take them; measures nothing.

    `photos/<id>.png` is the square that is tested, with the hole white, `masks/<id>.png` its mask, white in the hole.
    What a program makes of them under the same names is measured by `GivenResults`. The masks are those of the data
    set's `evaluation_hole`.

    Args:
        folder: where both folders go.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        photos = white_hole(batch["picture"], batch["mask"])
        for picture_id, photo, mask in zip(batch["id"], photos, batch["mask"], strict=True):
            write_picture(photo, self.folder / "photos" / f"{picture_id}.png")
            write_picture(mask.expand(3, -1, -1), self.folder / "masks" / f"{picture_id}.png")


class GivenResults(pl.LightningModule):
    """Takes what another program made of the test pictures, to be measured as a stage of ours; there is no training.

    Each result is found by its picture's name or id, see `find_results`. One that has the test's size is taken as it
    is; one that has the size of the picture's file is cropped and resized as the picture is. What counts is the hole:
    its surroundings are those of the truth, as the field does it. Where a result changed known pixels by more than
    JPEG does, a line at the end says so.

    Before anything is measured, all results are found, their sizes checked, and their holes compared with the truth:
    what another hole left unfilled would count as perfect (see `unfilled`; a loss, as JPEG's, hides it). A line names
    single pictures of which that is so. It needs a `inpaint.data.datamodule.PictureDataModule`. There are no seconds
    to be known; they are NaN.

    Args:
        root: the folder of the results; also a results folder of ours.
        name: what tables and galleries call them; None: the folder's name.

    Raises:
        UserError: there is no such folder; and in `setup`, results are missing, could be several, serve two pictures,
            have another size, were made for other holes, or are the truth.
    """

    def __init__(self, root: str | Path | None, name: str | None) -> None:
        super().__init__()
        remedy = "set model.root (results.root in a study)."
        if root is None:
            raise UserError(f"There is no folder of results: {remedy}")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise UserError(f"Results were expected in {self.root.absolute()}, which is no folder: {remedy}")
        self.name = name or self.root.resolve().name
        self.changed: list[str] = []  # the pictures whose known pixels another program changed

    @cached_property
    def results(self) -> dict[str, Path]:
        """The files, by the pictures' ids."""
        pictures = self._data.test_set
        return find_results(self.root, dict(zip(pictures.ids, pictures.names, strict=True)), pictures.root)

    @property
    def evaluation_state(self) -> str:
        """A hash that changes when a picture's result is another file, or that file changes."""
        return state_of(self.results)

    @property
    def _data(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        pictures = self._data.test_set
        names = dict(zip(pictures.ids, pictures.names, strict=True))
        refuse_missing(
            (key for key in names if key not in self.results and pictures.can_be_read(names[key])), names, self.root
        )
        for key, result in self.results.items():
            check_size(result, pictures.root / names[key], self._data.test_size)
        self._check_holes()

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """Reads the results of one batch, as `evaluation.results.Results` takes them: in the refinement's place."""
        truth, mask = batch["picture"], batch["mask"]
        given = torch.stack([self._read(key, truth.shape[-1]) for key in batch["id"]]).to(truth)
        for key, *pictures in zip(batch["id"], given, truth, mask, strict=True):
            if known_error(*pictures) > NOISE:
                self.changed.append(key)
        return {
            "id": batch["id"],
            "input": white_hole(truth, mask),
            "refined": composite(truth, given, mask),
            "truth": truth,
            "mask": mask,
            "seconds": [math.nan] * len(truth),
            "headings": {"refined": self.name},
        }

    def on_test_epoch_end(self) -> None:
        if self.changed:
            log.warning(
                "%s: known pixels were changed, by more than JPEG does, in %d of the pictures; what is measured has "
                "those of the truth around the hole: %s",
                self.name,
                len(self.changed),
                first_of(self.changed),
            )

    def _read(self, key: str, size: int) -> Picture:
        return centre_crop(read_picture(self.results[key]), size)

    def _check_holes(self) -> None:
        """Refuses results that were made for other holes, as far as their pixels show, or a results folder's masks."""
        log.info("Comparing the holes of the %d results in %s with the truth", len(self.results), self.root)
        counts: dict[str, tuple[int, int]] = {}
        pictures = self._data.test_set
        for index in range(len(pictures)):
            sample = pictures[index]
            if (key := sample.get("id")) is None or key in counts:  # what cannot be read is told when it is tested
                continue
            mask = sample["mask"]
            own = self.root / "pictures" / key / "mask.png"
            if own.parent == self.results[key].parent and own.is_file():
                made_for = read_picture(own)[:1].round()
                if made_for.shape != mask.shape or not torch.equal(made_for, mask):
                    raise UserError(
                        f"{self.results[key]} was made for the hole in {own}, but the test has another hole for {key}: "
                        "give the same data.evaluation_hole, data.test_size and seed as when it was made."
                    )
            counts[key] = unfilled(self._read(key, mask.shape[-1]), sample["picture"], mask)
        same, blocks = (sum(numbers) for numbers in zip(*counts.values(), strict=True)) if counts else (0, 0)
        if same > UNFILLED * blocks:
            raise UserError(
                f"{same / blocks:.0%} of the blocks in the holes equal the truth in the results of {self.root}: they "
                "were made for other holes, were not filled, or are the photos. Let the program fill what "
                "model=inputs writes, with the same data, holes and seed."
            )
        if suspect := [key for key, (same, blocks) in counts.items() if same > UNFILLED * blocks]:
            log.warning(
                "%s: more than %.0f %% of the hole is the truth itself, as if it had not been filled, in %d of the "
                "pictures: %s",
                self.name,
                100 * UNFILLED,
                len(suspect),
                first_of(suspect),
            )


def known_error(given: Picture, truth: Picture, mask: Mask) -> float:
    """The root mean square error outside of the hole."""
    known = (1 - mask).expand_as(truth)
    return float(((given - truth).square() * known).sum().div(known.sum().clamp(min=1)).sqrt())


def unfilled(given: Picture, truth: Picture, mask: Mask) -> tuple[int, int]:
    """How many blocks of a hole are the truth at 8 bits, and how many there are.

    Blocks are all of 2 x 2 pixels inside the hole, but for those where the truth hardly varies: a program may well
    hit white sky, where it does not hit four pixels of anything else. A border of one pixel shows in no block.
    """
    levels = (truth * 255).round()
    equal = ((given * 255).round() == levels).all(0, keepdim=True).float()
    varied = (_largest(levels) + _largest(-levels)).amax(0, keepdim=True) >= VARIED
    blocks = varied & (_largest(1 - mask) == 0)
    return int((blocks & (_largest(1 - equal) == 0)).sum()), int(blocks.sum())


def _largest(x: torch.Tensor) -> torch.Tensor:
    """The largest value of each block of 2 x 2 pixels."""
    return F.max_pool2d(x, 2, stride=1)
