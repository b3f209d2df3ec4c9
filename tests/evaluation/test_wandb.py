"""An offline W&B run, read back from its file."""

import json
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from inpaint.evaluation.panel import Panel
from inpaint.runs.wandb_log import has_key, wandb_logger
from tests.evaluation.helpers import make_results
from tests.evaluation.test_results import Fake, loader, trainer

BLOCK, FILE_HEADER, CHUNK_HEADER = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
SETTINGS = {"project": "inpaint", "name": "trial", "group": "group", "job_type": "train", "tags": ["a", "b"]}


def records(path: Path) -> Iterator[Any]:
    """What a .wandb file holds: LevelDB's log format (blocks of 32 KiB, records split into chunks) of protobufs."""
    data = path.read_bytes()
    assert data.startswith(b":W&B") or not data
    at, parts = FILE_HEADER, b""
    while at + CHUNK_HEADER <= len(data):
        if BLOCK - at % BLOCK < CHUNK_HEADER:  # the rest of a block, too short for a header, is padding
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + CHUNK_HEADER])
        assert kind in (FULL, FIRST, MIDDLE, LAST)
        if at + CHUNK_HEADER + length > len(data):  # not written to its end yet
            return
        parts += data[at + CHUNK_HEADER : at + CHUNK_HEADER + length]
        at += CHUNK_HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(parts)
            yield record
            parts = b""


def finished(path: Path, seconds: float = 20) -> list[Any]:
    """The records of a run that was closed; W&B's own process writes the last ones just after `finish` returns."""
    deadline = time.monotonic() + seconds
    while True:
        run = list(records(path))
        if any(r.HasField("exit") for r in run) or time.monotonic() > deadline:
            return run
        time.sleep(0.02)


def nested(items: Iterable[Any]) -> dict[str, Any]:
    """The last value of every item, by key; `["gallery", "format"]` is one inside the other."""
    result: dict[str, Any] = {}
    for item in items:
        *outer, name = item.nested_key or [item.key]
        inside = result
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[name] = json.loads(item.value_json)
    return result


def config_of(run: list[Any]) -> dict[str, Any]:
    updates = [r.run.config.update for r in run if r.HasField("run")]
    updates += [r.config.update for r in run if r.HasField("config")]
    return nested(item for update in updates for item in update)


def history_of(run: list[Any]) -> dict[str, Any]:
    return nested(item for r in run if r.HasField("history") for item in r.history.item)


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_DATA_DIR", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()


def test_offline_run_holds_config_scalars_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "output"
    logger = wandb_logger(folder, **SETTINGS)  # type: ignore[arg-type]
    assert "logged offline" in capsys.readouterr().out
    logger.log_hyperparams({"model": {"filters": 7}, "seed": 3})
    run = trainer(
        folder, make_results(folder), Panel(folder, pictures=8), logger=logger, max_epochs=1, num_sanity_val_steps=0
    )
    run.fit(Fake(), loader(["x"]), loader(["v"]))
    run.test(Fake(), loader(["a", "b"]), verbose=False)
    wandb.finish()

    (offline,) = (folder / "wandb").glob("offline-run-*")
    (file,) = offline.glob("*.wandb")
    read = finished(file)
    assert [r.exit.exit_code for r in read if r.HasField("exit")] == [0]
    (about,) = [r.run for r in read if r.HasField("run")][:1]
    assert (about.project, about.display_name, about.run_group, about.job_type) == (
        "inpaint", "trial", "group", "train",
    )  # fmt: skip
    assert list(about.tags) == ["a", "b"]
    config = config_of(read)
    assert config["model"] == {"filters": 7}
    assert config["seed"] == 3

    means = json.loads((folder / "metrics.json").read_text())
    logged = history_of(read)
    assert logged["content/hole_psnr"] == pytest.approx(means["content"]["hole"]["psnr"])
    assert logged["refinement/hole_psnr"] == pytest.approx(means["refined"]["hole"]["psnr"])
    assert logged["refinement/perceptual"] == pytest.approx(means["refined"]["perceptual"])
    media = offline / "files"
    assert (media / logged["gallery"]["filenames"][0]).read_bytes() == (folder / "gallery.png").read_bytes()
    assert (media / logged["panel"]["filenames"][0]).read_bytes() == (folder / "panels/epoch_000.png").read_bytes()
    table = json.loads((media / logged["results"]["path"]).read_text())
    assert table["columns"][:5] == ["id", "input", "content", "refined", "truth"]
    assert "refined_hole_psnr" in table["columns"]
    assert [row[0] for row in table["data"]] == ["a", "b"]
    (contents,) = [r.artifact.manifest.contents for r in read if r.HasField("artifact")]
    staged = [Path(entry.local_path) for entry in contents if entry.path.endswith(".png")]
    assert all(path.is_relative_to(folder) for path in staged)
    kept = (folder / "pictures" / name / f"{kind}.png" for name in "ab" for kind in table["columns"][1:5])
    assert sorted(path.read_bytes() for path in staged) == sorted(path.read_bytes() for path in kept)


def test_mode_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = wandb_logger(tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert logger._wandb_init["mode"] == "disabled"
    assert not capsys.readouterr().out
    assert logger.experiment.disabled


def test_with_a_key_it_goes_online(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    logger = wandb_logger(tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert "mode" not in logger._wandb_init
    assert not capsys.readouterr().out


def test_an_offline_run_does_not_decide_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb_logger(tmp_path, **SETTINGS).experiment.settings.mode == "offline"  # type: ignore[arg-type]
    wandb.finish()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert "mode" not in wandb_logger(tmp_path, **SETTINGS)._wandb_init  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "server", "found"),
    [
        ("machine api.wandb.ai\n  login user\n  password secret\n", None, True),
        ("machine wandb.example.org login user password secret", "https://wandb.example.org", True),
        ("machine api.wandb.ai login user password secret", "https://wandb.example.org", False),
        ("machine elsewhere.org login user password secret", None, False),
        ("no netrc at all", None, False),
        (None, None, False),
    ],
)
def test_key_in_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, server: str | None, found: bool
) -> None:
    if text is not None:
        (tmp_path / "netrc").write_text(text)
    if server:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    assert has_key() is found
