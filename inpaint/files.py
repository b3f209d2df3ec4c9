"""Atomic writing, names that fit, whether files changed, safe reading of weights, the place of the configuration."""

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from inpaint.errors import UserError, first_line

LONGEST_NAME = 255  # bytes that file systems take
UNSAFE = "it is damaged, or holds more than tensors and plain values, which could run code"


def read_weights(path: Path) -> Any:
    """Reads what a .safetensors file holds, or one written by `torch.save`: tensors and plain values alone.

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


def fitting(stem: str, ending: str = "") -> str:
    """A name of a stem and an ending; the stem is cut, between characters, where file systems would not take it."""
    while stem and len(os.fsencode(stem + ending)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def followed(path: str | Path) -> Path:
    """The path itself; or, of a symbolic link, the file at the end of the chain, which need not exist.

    Raises:
        UserError: the link leads to something else, or back to itself.
    """
    if not os.path.islink(path):
        return Path(path)
    end = Path(os.path.realpath(path))
    if os.path.lexists(end) and not end.is_file():  # a device, say, which must not be replaced
        raise UserError(f"{path} is a symbolic link that leads to no file: give another name.")
    return end


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path, renamed to `path` on success and removed on failure: no half-written files.

    A file that is replaced hands on its mode; a new one has the usual one. The folder is made where it is missing. A
    symbolic link stays: what it leads to is written.

    Raises:
        UserError: the disk is full, the folder cannot be written to, or a symbolic link leads to no file.
    """
    path = Path(path)
    try:
        end = followed(path)
        end.parent.mkdir(parents=True, exist_ok=True)
        # in a hidden folder of its own: there the longest name that can be written fits as well
        with TemporaryDirectory(suffix=".part", prefix=".", dir=end.parent, ignore_cleanup_errors=True) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            if end.exists():
                shutil.copymode(end, temporary)
            os.replace(temporary, end)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}.") from None


def state_of(files: Mapping[str, str | Path]) -> str:
    """A hash of which file each name stands for, and of the files' sizes and times, both -1 of one that is gone."""
    digest = hashlib.sha256()
    for name, path in files.items():
        try:
            status = os.stat(path)
            state = status.st_size, status.st_mtime_ns
        except OSError:
            state = -1, -1
        digest.update(repr((name, os.fspath(path), *state)).encode(errors="surrogateescape"))
    return digest.hexdigest()
