"""Files: written whole or not at all, weights read without running anything, and where the configuration lies."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from inpaint.errors import UserError, first_line

UNSAFE = "it is damaged, or holds more than tensors and plain values, which could run code"


def read_weights(path: Path) -> Any:
    """What a .safetensors file holds, or any other if it was written by `torch.save`: tensors and plain values alone.

    Raises:
        UserError: the file is damaged, is of another kind, or holds more than that.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are not its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file makes the unpickler raise almost anything, and it advises to trust it
        reason = first_line(error) if isinstance(error, OSError | RuntimeError | SafetensorError) else UNSAFE
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {reason}.") from None


HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # installed, or in a checkout


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it on success and removed on failure: no half-written files.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
