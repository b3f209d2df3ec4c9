"""The files of checkpoints: written whole, found again, read without running anything in them."""

import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from inpaint.errors import UserError, first_line
from inpaint.files import atomic, read_weights

log = logging.getLogger(__name__)
FORMAT = 1
"""The version of what `Checkpoints` adds to a checkpoint, under "inpaint". A later one is refused."""


class AtomicIO(TorchCheckpointIO):
    """Writes every checkpoint beside its place and renames it; reads only tensors and plain values.

    A name therefore always stands for a whole file, whatever happens while the next one is written, and nothing in a
    file can name code to run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(path) as beside, beside.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # its writer's, for a file that takes no more
                raise OSError(f"the disk may be full ({first_line(error)})") from None
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


WEIGHTS = {"state_dict", "loops", "pytorch-lightning_version"}
"""What every checkpoint of a training has; one of weights alone, such as `best.ckpt`, has no more to resume from."""
STATES = {"callbacks", "optimizer_states", "lr_schedulers"}
"""What one that a training can be resumed from has besides."""


def find_checkpoint(ckpt_path: str, folder: Path) -> Path | None:
    """Finds the checkpoint that a training is to be resumed from.

    Args:
        ckpt_path: a file; a folder, of a run or of its checkpoints: the newest whole one in it, those of weights alone
            (`best.ckpt`) aside; or "last": the same of this run's own folder.
        folder: this run's own.

    Returns:
        Its path; None for "last" while there is none, also where the training was ended when it had only just written
        weights alone.

    Raises:
        UserError: there is no such file or folder, or none in it can be read.
    """
    place = folder if ckpt_path == "last" else Path(ckpt_path)
    if place.is_file():
        return place
    if ckpt_path != "last" and not place.is_dir():
        raise UserError(
            f"There is no checkpoint {place} to resume from: give ckpt_path=FILE or FOLDER, or leave it out."
        )
    files, others = [*place.glob("*.ckpt"), *place.glob("checkpoints/*.ckpt")], 0
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            read_checkpoint(path)
        except WeightsAlone:
            others += 1
        except UserError as error:
            log.warning("%s Looking for the one before.", error)
        else:
            return path
    if ckpt_path == "last" and others == len(files):
        return None
    raise UserError(f"No checkpoint in {place} can be resumed from: give another folder, or leave ckpt_path out.")


class WeightsAlone(UserError):
    """A checkpoint that holds a network's weights, and nothing that a training could go on with."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads all of a checkpoint that a training can be resumed from; nothing in it can name code to run.

    Raises:
        UserError: the file cannot be read, is cut short, is no training's checkpoint, holds weights alone, or is a
            later version's.
    """
    checkpoint = read_weights_of(path)
    if not checkpoint.keys() >= STATES:
        raise WeightsAlone(
            f"{path} holds weights alone, and cannot be resumed from: resume from last.ckpt, or start from these "
            "weights with model.weights (model.content.weights with model=refinement)."
        )
    return checkpoint


def read_weights_of(path: Path) -> dict[str, Any]:
    """Reads a training's checkpoint, which may hold weights alone.

    Raises:
        UserError: as `read_checkpoint`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the check sums
                raise ValueError(f"{damaged} in it is damaged")
    except Exception as error:  # a damaged file makes it raise almost anything
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {first_line(error)}.") from None
    checkpoint = read_weights(path)
    own = checkpoint.get("inpaint", {}) if isinstance(checkpoint, dict) else None
    version = own.get("format", 0) if isinstance(own, dict) else None
    if not isinstance(version, int) or not checkpoint.keys() >= WEIGHTS:
        raise UserError(f"{path} is no checkpoint of a training, and cannot be resumed from.")
    if version > FORMAT:
        raise UserError(f"{path} was written by a later version of this program: update it to resume from there.")
    return checkpoint
