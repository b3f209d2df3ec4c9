"""The measures of an evaluation on disk as they come, so that one that is killed goes on where it was."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inpaint.errors import UserError
from inpaint.files import atomic

Row = dict[str, Any]


class Progress:
    """Rows of measures in `measured-<rank>.jsonl`, one line a row; the first line says which evaluation they are of.

    Args:
        folder: of the results.
        key: of the evaluation.
        rank: of this process; each appends to a file of its own.
    """

    def __init__(self, folder: Path, key: str, rank: int) -> None:
        self.folder, self.head, self.file = folder, {"evaluation": key}, folder / f"measured-{rank}.jsonl"

    def rows(self) -> list[Row]:
        """What all processes of this evaluation have measured; a line cut short by a kill does not count."""
        found: list[Row] = []
        for path in self._files():
            lines = [_parsed(line) for line in path.read_bytes().splitlines()]
            if lines and lines[0] == self.head:
                found += [line for line in lines[1:] if "id" in line]
        return found

    def restart(self, rows: list[Row]) -> None:
        """These rows in this process's file, and no other file."""
        if rows:
            with atomic(self.file) as beside:
                beside.write_text("".join(json.dumps(line) + "\n" for line in [self.head, *rows]), encoding="utf-8")
        for path in self._files():
            if path != self.file or not rows:
                path.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        try:
            with self.file.open("a", encoding="utf-8") as file:
                new = [row] if file.tell() else [self.head, row]
                file.write("".join(json.dumps(line) + "\n" for line in new))
        except OSError as error:
            raise UserError(f"{self.file} cannot be written: {error.strerror or error}.") from None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("measured-*.jsonl"))


def evaluation_key(module: nn.Module, settings: str) -> str:
    """A hash of all that decides an evaluation's results: the module's weights and its settings."""
    digest = hashlib.sha256(settings.encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parsed(line: bytes) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
