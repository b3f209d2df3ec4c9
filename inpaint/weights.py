"""Reads files of weights, in which nothing can name code to run."""

import warnings
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
