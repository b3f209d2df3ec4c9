"""An offline W&B run, read back from its file."""

import json
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from wandb.proto import wandb_internal_pb2

from inpaint.content.weights import load_network, read_network
from inpaint.errors import UserError
from inpaint.evaluation.panel import Panel
from inpaint.imaging.reading import write_picture
from inpaint.runs.wandb_log import RUN_ID, forget_run, has_key, wandb_logger
from inpaint.train import run as entry
from tests.evaluation.helpers import make_results
from tests.evaluation.test_results import Fake, loader, trainer
from tests.train.test_train import composed, small

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
    assert logged["test/content/hole_psnr"] == pytest.approx(means["content"]["hole"]["psnr"])
    assert logged["test/refined/hole_psnr"] == pytest.approx(means["refined"]["hole"]["psnr"])
    assert logged["test/refined/perceptual"] == pytest.approx(means["refined"]["perceptual"])
    media = offline / "files"
    assert (media / logged["gallery"]["filenames"][0]).read_bytes() == (folder / "gallery.png").read_bytes()
    assert (media / logged["panel"]["filenames"][0]).read_bytes() == (folder / "panels/epoch_000.png").read_bytes()
    table = json.loads((media / logged["results"]["path"]).read_text())
    assert table["columns"][:5] == ["id", "input", "content", "refined", "truth"]
    assert "refined_hole_psnr" in table["columns"]
    assert [row[0] for row in table["data"]] == ["a", "b"]
    (contents,) = [r.artifact.manifest.contents for r in read if r.HasField("artifact")]  # by fit and test alone
    staged = [Path(entry.local_path) for entry in contents if entry.path.endswith(".png")]
    assert all(path.is_relative_to(folder) for path in staged)
    kept = (folder / "pictures" / name / f"{kind}.png" for name in "ab" for kind in table["columns"][1:5])
    assert sorted(path.read_bytes() for path in staged) == sorted(path.read_bytes() for path in kept)


def read_runs(folder: Path) -> list[list[Any]]:
    """The records of each offline run of a folder, the earliest first."""
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    return [finished(path) for path in files]


def about(run: list[Any]) -> Any:
    return next(record.run for record in run if record.HasField("run"))


def axes(run: list[Any]) -> dict[str, str]:
    """The x-axis of each name."""
    metrics = [record.metric for record in run if record.HasField("metric")]
    return {each.name: each.step_metric for each in metrics if each.step_metric}


def artifacts(run: list[Any]) -> dict[str, tuple[str, list[str], list[str]]]:
    """Kind, aliases and files of each artifact that is not a table, by its name without the run's id."""
    found = [record.artifact for record in run if record.HasField("artifact")]
    return {
        f"{each.name.rpartition('-')[0]}:{min(each.aliases)}": (  # W&B leaves the order of aliases open
            each.type, sorted(each.aliases), sorted(entry.path for entry in each.manifest.contents)
        )
        for each in found
        if each.type != "run_table"
    }  # fmt: skip


def train(folder: Path, *more: str) -> None:
    data = ["data=sample", "logger=wandb"]
    entry.train(composed(folder, [*small([f"+experiment={more[0]}", *data]), *more[1:]]))


def test_everything_has_one_axis_and_energies_have_theirs(tmp_path: Path) -> None:
    """Whichever optimisers run: 3 batches are 3 on the axis; the test's results stand at the last; pictures from 0."""
    train(tmp_path, "quickstart", "data.samples_per_epoch=6", "data.test_pictures=2")
    (run,) = read_runs(tmp_path)
    names = {name for name in history_of(run) if not name.startswith("_")} - {"batch", "picture"}
    assert axes(run) == {name: "picture" if name.startswith("energy/") else "batch" for name in names}
    lines = [nested(record.history.item) for record in run if record.HasField("history")]
    assert all(("batch" in line) != ("picture" in line) for line in lines)
    assert [line["picture"] for line in lines if any(name.startswith("energy/") for name in line)] == [0, 1]
    assert all(
        name.startswith(("energy/", "_")) or name == "picture" for line in lines if "picture" in line for name in line
    )
    curve = [line["batch"] for line in lines if "content/loss_rec" in line]
    assert len(curve) == 3
    assert curve == sorted(set(curve))
    assert {line["batch"] for line in lines if "test/content/hole_psnr" in line} == {3}
    assert {"test/refined/hole_psnr", "test/seconds_per_picture", "results", "gallery", "panel"} <= names
    assert not any(name.startswith(("refinement/", "trainer/")) for name in names)


def test_files_of_the_results_are_artifacts_and_checkpoints_if_wanted(tmp_path: Path) -> None:
    train(tmp_path / "no", "content")
    results = ("results", ["latest"], ["config.yaml", "metrics.csv", "metrics.json", "provenance.json"])
    (run,) = read_runs(tmp_path / "no")
    assert artifacts(run) == {"results:latest": results}
    train(tmp_path / "yes", "content", "logger.wandb.log_model=true")
    (run,) = read_runs(tmp_path / "yes")
    assert artifacts(run) == {
        "results:latest": results,
        "model:last": ("model", ["last", "latest"], ["last.ckpt"]),
        "model:best": ("model", ["best", "latest"], ["best.ckpt"]),
        "content:latest": ("model", ["latest"], ["content.safetensors"]),
    }
    checkpoints = tmp_path / "yes" / "checkpoints"
    generator, _ = load_network(checkpoints / "content.safetensors")
    best = read_network(checkpoints / "best.ckpt").tensors
    assert all(torch.equal(value, best[name]) for name, value in generator.state_dict().items())


def test_files_that_cannot_be_sent_fail_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("inpaint.content.module.save_network", fail)
    with caplog.at_level("INFO"):
        train(tmp_path, "content", "logger.wandb.log_model=true")
    assert f"Not all files of {tmp_path} could be handed to W&B: the disk is full" in caplog.text
    (run,) = read_runs(tmp_path)
    assert [record.exit.exit_code for record in run if record.HasField("exit")] == [0]


def test_an_evaluation_goes_on_in_its_run_only_where_it_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(*more: str) -> tuple[str, bool]:
        few = ["data=sample", "data.test_size=64", "data.test_pictures=1", "data.num_workers=0", "~callbacks.progress"]
        entry.train(composed(tmp_path, ["model=classical", "fit=false", "logger=wandb", *few, *more]))
        wandb.finish()
        return (tmp_path / RUN_ID).read_text(), "This goes on with the W&B run" in capsys.readouterr().out

    first, _ = evaluate("model.method=telea")
    assert evaluate("model.method=telea", "tags=[again]", "callbacks.results.gallery_rows=1") == (first, True)
    second, goes_on = evaluate("model.method=ns")
    assert second != first
    assert not goes_on
    (tmp_path / "config.yaml").write_text("torn: [")
    third, _ = evaluate("model.method=ns")
    assert third != second


def test_tables_and_pictures_are_kept_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever logs them: W&B would leave an offline run's in the user's home for good."""
    home = tmp_path / "home"
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(home))
    write_picture(torch.rand(3, 8, 8), tmp_path / "picture.png")
    logger = wandb_logger(tmp_path / "out", **SETTINGS)  # type: ignore[arg-type]
    logger.log_table("table", ["picture"], [[wandb.Image(str(tmp_path / "picture.png"))]])
    logger.log_image("picture", [str(tmp_path / "picture.png")])
    wandb.finish()
    (run,) = read_runs(tmp_path / "out")
    entries = [each for record in run if record.HasField("artifact") for each in record.artifact.manifest.contents]
    assert len(entries) == 2  # the table and its picture
    assert all(Path(each.local_path).is_relative_to(tmp_path / "out") for each in entries)
    assert not home.exists()


def test_a_resumed_training_goes_on_in_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, "content", "test=false")
    first = (tmp_path / RUN_ID).read_text().strip()
    capsys.readouterr()
    train(tmp_path, "content", "test=false", "trainer.max_epochs=2", "ckpt_path=last")
    said = capsys.readouterr().out
    assert f"This goes on with the W&B run {first}" in said
    assert f"`wandb sync {tmp_path / 'wandb'}/*run-*` puts the parts of it together" in said
    runs = read_runs(tmp_path)
    assert [about(run).run_id for run in runs] == [first, first]
    lines = [nested(record.history.item) for run in runs for record in run if record.HasField("history")]
    assert [line["batch"] for line in lines if "content/loss_rec" in line] == [0, 1]

    train(tmp_path, "content", "test=false")  # from the beginning: another run
    assert (tmp_path / RUN_ID).read_text().strip() != first
    train(tmp_path / "other", "content", "test=false", "trainer.max_epochs=2", f"ckpt_path={tmp_path}")
    assert (tmp_path / "other" / RUN_ID).read_text() != (tmp_path / RUN_ID).read_text()


def test_a_known_run_is_resumed_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    logger = wandb_logger(tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert (logger._wandb_init["id"], logger._wandb_init["resume"]) == (None, None)
    (tmp_path / RUN_ID).parent.mkdir()
    (tmp_path / RUN_ID).write_text("abc\n")
    logger = wandb_logger(tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert (logger._wandb_init["id"], logger._wandb_init["resume"]) == ("abc", "allow")
    logger = wandb_logger(tmp_path, **SETTINGS, id="mine", resume="must")  # type: ignore[arg-type]
    assert (logger._wandb_init["id"], logger._wandb_init["resume"]) == ("mine", "must")
    forget_run(tmp_path)
    assert wandb_logger(tmp_path, **SETTINGS)._wandb_init["id"] is None  # type: ignore[arg-type]


def test_any_setting_of_wandb_init(tmp_path: Path) -> None:
    words = ["logger=wandb", "logger.wandb.entity=team", "logger.wandb.notes=why", "logger.wandb.id=run7"]
    words += ["+logger.wandb.mode=offline", "+logger.wandb.save_code=false", "+logger.wandb.settings={console: 'off'}"]
    cfg = composed(tmp_path, [*words, "logger.wandb.job_type=probe", "tags=[a]"])
    cfg.logger.wandb.job_type = "probe"
    logger = entry.build(cfg.logger.wandb)
    run = logger.experiment
    assert (run.settings.mode, run.settings.console) == ("offline", "off")
    wandb.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    said = about(finished(file))
    found = (said.entity, said.notes, said.run_id, said.job_type, list(said.tags))
    assert found == ("team", "why", "run7", "probe", ["a"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"moode": "offline"}, r"no setting logger\.wandb\.moode: did you mean mode\?"),
        (
            {"settings": {"consol": "off"}},
            r"no setting logger\.wandb\.settings\.consol: did you mean settings\.console",
        ),
        ({"zebra": 1}, r"no setting logger\.wandb\.zebra: see wandb\.init\."),
    ],
)
def test_a_misspelt_setting_is_refused(given: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        wandb_logger(tmp_path, **SETTINGS, **given)


def test_without_wandb_the_csv_log_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="logger=wandb needs wandb, which is not installed"):
        wandb_logger(tmp_path, **SETTINGS)  # type: ignore[arg-type]


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
