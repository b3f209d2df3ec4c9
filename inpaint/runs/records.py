"""Reads and writes `job.json`, which says what became of one job of a sweep; and says what sets jobs apart."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
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
        logged: of a finished job, the values that it logged last, by name.
    """

    overrides: list[str]
    config: str
    state: str
    error: str = ""
    logged: Mapping[str, float] = MappingProxyType({})


def write(
    folder: Path,
    overrides: Sequence[str],
    config_yaml: str,
    state: str,
    error: str = "",
    logged: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Writes the record into the job's folder, which is made if it is missing."""
    with atomic(folder / FILE) as path:
        record = Record(list(overrides), _digest(config_yaml), state, error, dict(logged))
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


def label_jobs(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Says in words what sets each job apart: the overrides that the jobs do not share.

    `model.preset.alpha=0.1` is "alpha 0.1", `model/preset=paper` is "paper"; a single job has an empty label.
    """
    return [", ".join(_words(*setting) for setting in job.items()) for job in swept_settings(overrides)]


def swept_settings(overrides: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Each job's settings that the jobs do not share, by key: `[{"model.preset.alpha": "0.1"}, ...]`; in one order."""
    settings = [dict(override.lstrip("+").split("=", 1) for override in job if "=" in override) for job in overrides]
    keys = dict.fromkeys(key for job in settings for key in job)
    swept = [key for key in keys if len({job.get(key) for job in settings}) > 1]
    return [{key: job[key] for key in swept if key in job} for job in settings]


def _words(key: str, value: str) -> str:
    """The value, and before it the last part of its key unless the value is a word itself."""
    if re.fullmatch(r"-?\d*\.\d{6,}(e-?\d+)?", value):  # as Optuna draws them
        value = f"{float(value):.5g}"
    value = value.strip("[]").replace(",", " + ")
    words = re.sub(r"(?<=[a-zA-Z])_(?=[a-zA-Z])", " ", f"{re.split(r'[./]', key)[-1]} {value}")
    name, text = words[: len(words) - len(value)], words[len(words) - len(value) :]
    return text if re.match(r"(?!null|true|false)[a-zA-Z]", text) else name + text
