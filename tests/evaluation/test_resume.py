"""An evaluation that was killed goes on where it was, and one of several processes measures each picture once."""

import json
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from inpaint.errors import Interrupted, UserError
from inpaint.evaluation.resume import MeasuredRows, evaluation_key
from inpaint.imaging.reading import write_picture
from inpaint.train import run as entry
from tests.evaluation.helpers import make_results, table
from tests.evaluation.test_results import Fake, loader, trainer
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


class Stop(pl.Callback):
    """Interrupts a test before this batch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_test_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        if index == self.batch:
            raise Interrupted(signal.SIGTERM)


def test_goes_on_with_another_number_of_workers_and_another_measure(
    evaluation: list[str], whole: Path, alexnet: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lpips")
    stop = "+callbacks.stop={_target_: tests.evaluation.test_resume.Stop, batch: 3}"
    with pytest.raises(Interrupted):
        run(composed(tmp_path, [*evaluation, stop]))
    before = written(tmp_path)
    assert len(before) == 3
    others = ["data.num_workers=1", "data.batch_size=3", "data.in_memory=true"]
    run(composed(tmp_path, [*evaluation, *others, f"callbacks.results.lpips_weights={alexnet}"]))
    assert before.items() <= written(tmp_path).items()
    rows = table(tmp_path)
    assert all(float(row.pop(f"{stage}_whole_lpips")) > 0 for row in rows for stage in ("content", "refined"))
    assert rows == table(whole)


class Pairs(pl.LightningDataModule):
    """Pictures that can be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: set[str] = set()

    def test_dataloader(self) -> DataLoader[Any]:
        every = loader(["a", "b", "c", "d"])
        every.dataset[:] = [picture for picture in every.dataset if picture["id"] not in self.finished]  # type: ignore
        return every


@pytest.mark.parametrize(("first", "second"), [(None, 0), (0, None), (0, 1)])
def test_goes_on_with_another_measure(
    first: int | None, second: int | None, alexnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LPIPS asked for only when it goes on, only at first, and by other weights: as if it had been so all along."""
    pytest.importorskip("lpips")
    other = tmp_path / "other.pth"
    torch.save({name: -value for name, value in torch.load(alexnet).items()}, other)
    weights = [None if which is None else (alexnet, other)[which] for which in (first, second)]
    callback = make_results(tmp_path / "stopped", lpips_weights=weights[0])
    with pytest.raises(ValueError, match="stopped here"):
        trainer(tmp_path, callback).test(Fake(stop_at=1), Pairs(), verbose=False)
    assert [row["id"] for row in table(tmp_path / "stopped")] == ["a", "b"]
    for folder in ("stopped", "whole"):
        data = Pairs()
        trainer(tmp_path, make_results(tmp_path / folder, lpips_weights=weights[1])).test(Fake(), data, verbose=False)
        assert data.finished == ({"a", "b"} if folder == "stopped" else set())
    assert table(tmp_path / "stopped") == table(tmp_path / "whole")
    assert ("refined_whole_lpips" in table(tmp_path / "whole")[0]) == (second is not None)
    assert "Going on after 2 pictures" in capsys.readouterr().out


def test_what_a_version_without_masks_and_areas_measured_is_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="stopped here"):
        trainer(tmp_path, make_results(tmp_path)).test(Fake(stop_at=1), Pairs(), verbose=False)
    (file,) = tmp_path.glob("measured-*.jsonl")
    key, *rows = map(json.loads, file.read_text().splitlines())
    file.write_text("".join(json.dumps({n: v for n, v in line.items() if n != "area"}) + "\n" for line in (key, *rows)))
    data = Pairs()
    trainer(tmp_path, make_results(tmp_path)).test(Fake(), data, verbose=False)
    assert data.finished == set()
    assert "of an older version, or damaged: starting anew" in capsys.readouterr().out
    assert [float(row["area"]) for row in table(tmp_path)] == [25] * 4


def test_a_picture_without_its_mask_is_filled_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stopped here"):
        trainer(tmp_path, make_results(tmp_path)).test(Fake(stop_at=1), Pairs(), verbose=False)
    (tmp_path / "pictures" / "a" / "mask.png").unlink()
    data = Pairs()
    trainer(tmp_path, make_results(tmp_path)).test(Fake(), data, verbose=False)
    assert data.finished == {"b"}
    assert (tmp_path / "pictures" / "a" / "mask.png").is_file()


def test_goes_on_with_an_own_measure(tmp_path: Path) -> None:
    """It is taken anew of what is done: its function may have changed."""
    with pytest.raises(ValueError, match="stopped here"):
        trainer(tmp_path, make_results(tmp_path, measures={"one": lambda *_: 1})).test(
            Fake(stop_at=1), Pairs(), verbose=False
        )
    measures = {"one": lambda *_: 2, "other": lambda prediction, truth, mask: float(mask.sum())}
    data = Pairs()
    trainer(tmp_path, make_results(tmp_path, measures=measures)).test(Fake(), data, verbose=False)
    assert data.finished == {"a", "b"}
    assert [(row["refined_one"], row["refined_other"]) for row in table(tmp_path)] == [("2", "576")] * 4


def test_other_settings_start_anew_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stopped here"):
        trainer(tmp_path, make_results(tmp_path, settings="seed 0")).test(Fake(stop_at=1), Pairs(), verbose=False)
    assert "anew" not in capsys.readouterr().out
    data = Pairs()
    trainer(tmp_path, make_results(tmp_path, settings="seed 1")).test(Fake(), data, verbose=False)
    assert data.finished == set()
    assert "is of other weights, data or settings" in capsys.readouterr().out


@pytest.mark.parametrize("changed", ["module", "data"])
def test_files_that_changed_start_anew(changed: str, tmp_path: Path) -> None:
    """Such as another program's results, or the files of masks."""
    done: list[set[str]] = []
    for state, stop_at in (("first", 1), ("second", 1), ("second", None)):
        module, data = Fake(stop_at=stop_at), Pairs()
        part: Any = module if changed == "module" else data
        part.evaluation_state = state
        with pytest.raises(ValueError, match="stopped here") if stop_at else nullcontext():
            trainer(tmp_path, make_results(tmp_path)).test(module, data, verbose=False)
        done.append(data.finished)
    assert done == [set(), set(), {"a", "b"}]


def test_the_key_is_of_weights_and_settings(tmp_path: Path) -> None:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    key = evaluation_key(one, "alpha 1")
    assert key == evaluation_key(one, "alpha 1")
    keys = {key, evaluation_key(other, "alpha 1"), evaluation_key(one, "alpha 2")}
    one.evaluation_state = "results 1"  # type: ignore[assignment]
    assert len(keys | {evaluation_key(one, "alpha 1")}) == 4
    MeasuredRows(tmp_path, key, 0).append({"id": "a"})
    assert MeasuredRows(tmp_path, key, 0).read() == [{"id": "a"}]
    assert MeasuredRows(tmp_path, "another", 0).read() == []


def test_half_a_line_is_not_a_row(tmp_path: Path) -> None:
    for rank in (0, 1):
        for name in ("a", "b"):
            MeasuredRows(tmp_path, "key", rank).append({"id": f"{name}{rank}", "l1": 0.1 + 0.2, "ratio": float("nan")})
    cut = (tmp_path / "measured-1.jsonl").read_text()[:-5]
    (tmp_path / "measured-1.jsonl").write_text(cut)
    measured = MeasuredRows(tmp_path, "key", 0)
    rows = measured.read()
    assert [row["id"] for row in rows] == ["a0", "b0", "a1"]
    assert rows[0]["l1"] == 0.1 + 0.2  # bit by bit
    measured.replace(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["measured-0.jsonl"]
    assert json.dumps(measured.read()) == json.dumps(rows)
    measured.replace([])
    assert not list(tmp_path.iterdir())


@one_thread()
def test_a_picture_that_is_gone_is_filled_again(evaluation: list[str], whole: Path, tmp_path: Path) -> None:
    cfg = composed(tmp_path, evaluation)
    module, data = entry.build(cfg.model), entry.build(cfg.data)
    trainer = entry.build(cfg.trainer, logger=False, enable_progress_bar=False)
    trainer.callbacks += [entry.build(cfg.callbacks.results), Stop(batch=4)]
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
        make_results(tmp_path).setup(trainer, pl.LightningModule(), "test")
