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


def find_checkpoint(ckpt_path: str, folder: Path) -> Path | None:
    """Finds the checkpoint that a training is to be resumed from.

    Args:
        ckpt_path: a file; a folder, of a run or of its checkpoints: the newest whole one in it; or "last": the
            same of this run's own folder.
        folder: this run's own.

    Returns:
        Its path; None for "last" while there is none.

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
    files = [*place.glob("*.ckpt"), *place.glob("checkpoints/*.ckpt")]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            read_checkpoint(path)
        except UserError as error:
            log.warning("%s Looking for the one before.", error)
        else:
            return path
    if ckpt_path == "last" and not files:
        return None
    raise UserError(f"No checkpoint in {place} can be resumed from: give another folder, or leave ckpt_path out.")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads all of a training's checkpoint; nothing in it can name code to run.

    Raises:
        UserError: the file cannot be read, is cut short, is no training's checkpoint, or is a later version's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the check sums
                raise ValueError(f"{damaged} in it is damaged")
    except Exception as error:  # a damaged file makes it raise almost anything
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {first_line(error)}.") from None
    checkpoint = read_weights(path)
    wanted = {"state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "pytorch-lightning_version"}
    if not isinstance(checkpoint, dict) or not wanted <= checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of a training, and cannot be resumed from.")
    found = checkpoint.get("inpaint", {}).get("format", 0)
    if found > FORMAT:
        raise UserError(f"{path} was written by a later version of this program: update it to resume from there.")
    return checkpoint
