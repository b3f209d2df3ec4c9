"""Reads and writes `job.json`, which says what became of one job of a sweep."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inpaint.files import atomic

FILE = "job.json"


class Record(NamedTuple):
    """One job.

    Attributes:
        overrides: what the command line, or the sweep, set: `["+experiment=refine", "model.preset.alpha=0.1"]`.
        config: the SHA-256 of its composed configuration.
        state: "begun", "finished" or "failed"; a job that was killed stays "begun".
        error: the sentence that says why it failed; else empty.
    """

    overrides: list[str]
    config: str
    state: str
    error: str = ""


def write(folder: Path, overrides: Sequence[str], config_yaml: str, state: str, error: str = "") -> None:
    """Writes the record into the job's folder, which is made if it is missing."""
    with atomic(folder / FILE) as path:
        record = Record(list(overrides), _digest(config_yaml), state, error)
        path.write_text(json.dumps(record._asdict(), indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> Record | None:
    """The record of the job in this folder; None if there is none."""
    try:
        return Record(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def state(folder: Path, config_yaml: str) -> str | None:
    """What became of the job in this folder; None if there is none, or one of another configuration."""
    record = read(folder)
    return record.state if record is not None and record.config == _digest(config_yaml) else None


def _digest(config_yaml: str) -> str:
    return hashlib.sha256(config_yaml.encode()).hexdigest()
