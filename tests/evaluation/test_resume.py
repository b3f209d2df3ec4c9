"""An evaluation that was killed goes on where it was, and one of several processes measures each picture once."""

import csv
import json
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from inpaint.errors import Interrupted, UserError
from inpaint.evaluation.results import Results
from inpaint.evaluation.resume import Progress, evaluation_key
from inpaint.imaging.reading import write_picture
from inpaint.train import run as entry
from tests.runs.test_resume import command, one_thread, run
from tests.train.test_train import composed

PICTURES = 5


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides of a small evaluation by refinement."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(PICTURES):
        noise = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(i))
        write_picture(nn.functional.interpolate(noise[None], scale_factor=6, mode="bicubic")[0], folder / f"p{i}.png")
    return [
        "+experiment=refine",
        "data=folder",
        f"data.root={folder}",
        "data.split=[0,0,1]",
        "data.num_workers=0",
        "data.test_size=128",
        "logger=csv",
        "~callbacks.progress",
        "model.preset.scales=1",
        "model.preset.rounds=1",
        "model.preset.iterations=1",
    ]


@pytest.fixture(scope="module")
def whole(evaluation: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(composed(folder, evaluation))
    return folder


def table(folder: Path) -> list[dict[str, str]]:
    """metrics.csv but for the seconds, which no two runs share."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def written(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("pictures/*/refined.png")}


@pytest.mark.parametrize(("number", "code"), [(9, -9), (15, 143), (2, 130)])
def test_goes_on_where_it_was_killed(
    number: int, code: int, evaluation: list[str], whole: Path, tmp_path: Path
) -> None:
    stop = f"+callbacks.stop={{_target_: tests.signals.Signal, number: {number}, batch: 3, at: test}}"
    done = command(*evaluation, stop, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    before = written(tmp_path)
    assert len(before) == 3
    if number != 9:  # what is done so far can be looked at, and the folder is all that it takes to go on
        assert table(tmp_path) == table(whole)[:3]
        assert f"hydra.run.dir={tmp_path}\n" in done.stdout
    run(composed(tmp_path, evaluation))
    assert table(tmp_path) == table(whole)
    assert (tmp_path / "gallery.png").read_bytes() == (whole / "gallery.png").read_bytes()
    assert before.items() <= written(tmp_path).items()
    assert not list(tmp_path.glob("measured*"))


def test_other_settings_or_weights_start_over(tmp_path: Path) -> None:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    key = evaluation_key(one, "alpha 1")
    assert key == evaluation_key(one, "alpha 1")
    assert len({key, evaluation_key(other, "alpha 1"), evaluation_key(one, "alpha 2")}) == 3
    Progress(tmp_path, key, 0).add({"id": "a"})
    assert Progress(tmp_path, key, 0).rows() == [{"id": "a"}]
    assert Progress(tmp_path, "another", 0).rows() == []


def test_half_a_line_is_not_a_row(tmp_path: Path) -> None:
    for rank in (0, 1):
        for name in ("a", "b"):
            Progress(tmp_path, "key", rank).add({"id": f"{name}{rank}", "l1": 0.1 + 0.2, "ratio": float("nan")})
    cut = (tmp_path / "measured-1.jsonl").read_text()[:-5]
    (tmp_path / "measured-1.jsonl").write_text(cut)
    rows = Progress(tmp_path, "key", 0).rows()
    assert [row["id"] for row in rows] == ["a0", "b0", "a1"]
    assert rows[0]["l1"] == 0.1 + 0.2  # bit by bit
    progress = Progress(tmp_path, "key", 0)
    progress.restart(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["measured-0.jsonl"]
    assert json.dumps(progress.rows()) == json.dumps(rows)
    progress.restart([])
    assert not list(tmp_path.iterdir())


@one_thread()
def test_a_picture_that_is_gone_is_filled_again(evaluation: list[str], whole: Path, tmp_path: Path) -> None:
    cfg = composed(tmp_path, evaluation)
    results = Results(tmp_path, "trial", settings=cfg.callbacks.results.settings)
    module, data = entry.build(cfg.model), entry.build(cfg.data)
    trainer = entry.build(cfg.trainer, logger=False, enable_progress_bar=False)

    class Stop(pl.Callback):
        def on_test_batch_start(self, trainer, module, batch, batch_idx, *_) -> None:
            if batch_idx == 4:
                raise Interrupted(signal.SIGTERM)

    trainer.callbacks += [results, Stop()]
    with pytest.raises(Interrupted):
        trainer.test(module, data, verbose=False)
    gone = tmp_path / "pictures" / "p1" / "refined.png"
    gone.unlink()
    before = written(tmp_path)
    trainer.callbacks.pop()
    trainer.test(module, data, verbose=False)
    assert data.finished == {"p0", "p2", "p3"}
    assert table(tmp_path) == table(whole)
    assert before.items() <= written(tmp_path).items()


def test_different_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they come about under torchrun, where every process has a clock of its own."""
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False)
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda value: f"{value}_1")
    with pytest.raises(UserError, match=r"but the first one to .*_1: give all of them the same, with hydra\.run\.dir"):
        Results(tmp_path, "trial").setup(trainer, pl.LightningModule(), "test")
