"""Saves each picture's measures during an evaluation, so that one that was interrupted can resume."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from inpaint.errors import UserError
from inpaint.evaluation.table import Row
from inpaint.files import atomic


class MeasuredRows:
    """The rows of one evaluation in `measured-<rank>.jsonl`, a line a row; the first line says which evaluation it is.

    Each process appends to the file of its own rank. Methods raise a UserError where a file cannot be written.

    Args:
        folder: of the results.
        key: of the evaluation, see `evaluation_key`.
        rank: of this process.
    """

    def __init__(self, folder: Path, key: str, rank: int) -> None:
        self.folder, self.first_line, self.file = folder, {"evaluation": key}, folder / f"measured-{rank}.jsonl"

    def files(self) -> list[Path]:
        """The files of all processes, of this evaluation or another."""
        return sorted(self.folder.glob("measured-*.jsonl"))

    def read(self) -> list[Row]:
        """The rows that all processes of this evaluation have written, each file up to a line cut short by a kill."""
        found: list[Row] = []
        for path in self.files():
            values = []
            with suppress(ValueError):
                for line in path.read_bytes().splitlines():
                    values.append(json.loads(line))
            if values[:1] == [self.first_line]:
                found += values[1:]
        return found

    def replace(self, rows: list[Row]) -> None:
        """Writes these rows into the file of this process, and removes every other file."""
        if rows:
            with atomic(self.file) as beside:
                lines = [self.first_line, *rows]
                beside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        for path in self.files():
            if path != self.file or not rows:
                path.unlink(missing_ok=True)

    def append(self, row: Row) -> None:
        """Adds a row to the file of this process."""
        try:
            with self.file.open("a", encoding="utf-8") as file:
                lines = [row] if file.tell() else [self.first_line, row]
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise UserError(f"{self.file} cannot be written: {error.strerror or error}.") from None


def evaluation_key(module: nn.Module, settings: str) -> str:
    """Hashes all that decides an evaluation's results: the module's layers, weights and state, and the settings.

    The state is the text `module.evaluation_state`, of a module that has one: of the files that it reads. A callback
    asks for it before Lightning calls the module's `setup`.
    """
    digest = hashlib.sha256(repr((settings, getattr(module, "evaluation_state", ""))).encode())
    digest.update(repr(module).encode())  # activations have no weights, and a file may say which they are
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
