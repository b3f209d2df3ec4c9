import csv
import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from inpaint.errors import UserError
from inpaint.evaluation import folder as results_folder
from inpaint.evaluation.metrics import measure
from inpaint.evaluation.panel import Panel
from inpaint.evaluation.perceptual import frechet_distance
from inpaint.evaluation.statistics import bootstrap
from inpaint.evaluation.table import for_json, mean_measures, printed_table, unique_rows
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import read_picture
from inpaint.runs.processes import gather
from tests.evaluation.helpers import make_results

SIDE = 48
MEASURES = {"hole", "whole", "perceptual", "sharpness", "seam"}
ERRORS = {"l1", "l2", "psnr", "ssim"}


def pictures(ids: list[str]) -> list[dict[str, Any]]:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 12:36, 12:36] = 1
    noise = [torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(i)) for i in range(len(ids))]
    return [{"id": name, "picture": picture, "mask": mask} for name, picture in zip(ids, noise, strict=True)]


def loader(ids: list[str]) -> DataLoader[Any]:
    return DataLoader(pictures(ids), batch_size=2)  # type: ignore[arg-type]


class Fake(pl.LightningModule):
    """Fills with grey, then with something nearer the truth."""

    def __init__(
        self,
        stages: tuple[str, ...] = ("content", "refined"),
        stop_at: int | None = None,
        error: type[BaseException] = ValueError,
    ) -> None:
        super().__init__()
        self.stages, self.stop_at, self.error = stages, stop_at, error
        self.calls = 0
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        assert not self.training
        self.calls += 1
        return composite(picture, torch.full_like(picture, 0.5), mask)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if batch_idx == self.stop_at:
            raise self.error("stopped here")
        picture, mask = batch["picture"], batch["mask"]
        content = self(picture, mask)
        filled = {"content": content, "refined": (content + picture) / 2}
        stages = {stage: filled[stage] for stage in self.stages}
        seconds = [2.0] * len(picture)
        return {"id": batch["id"], "input": picture * (1 - mask), **stages, "truth": picture, "mask": mask} | {
            "seconds": seconds
        }

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self.weight.square()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, *callbacks: pl.Callback, logger: Any = False, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=logger,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **options,
    )


def read(folder: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Lightning ignores Ctrl-C from the first one on; later tests shall not."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_results_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = ["b", "a__c", "d"]
    trainer(tmp_path, make_results(tmp_path)).test(Fake(), loader(ids), verbose=False)

    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "metrics.csv", "metrics.json", "gallery.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == set(ids)
    for name in ids:
        names = {path.name for path in (tmp_path / "pictures" / name).iterdir()}
        assert names == {"input.png", "content.png", "refined.png", "truth.png"}

    rows, means = read(tmp_path)
    assert [row["id"] for row in rows] == ["a__c", "b", "d"]
    assert set(rows[0]) == {"id", "seconds"} | {
        f"{stage}_{name}"
        for stage in ("content", "refined")
        for name in [*(f"{where}_{error}" for where in ("hole", "whole") for error in ERRORS), *MEASURES]
        if name not in ("hole", "whole")
    }
    assert list(means) == [
        "name", "pictures", "content", "refined", "seconds_per_picture", "confidence", "intervals",
    ]  # fmt: skip
    assert (means["name"], means["pictures"], means["seconds_per_picture"]) == ("trial", 3, 2.0)
    for stage in ("content", "refined"):
        assert set(means[stage]) == MEASURES
        assert set(means[stage]["hole"]) == set(means[stage]["whole"]) == ERRORS
        mean = sum(float(row[f"{stage}_hole_l2"]) for row in rows) / 3
        assert means[stage]["hole"]["l2"] == pytest.approx(mean, rel=1e-5)
        mean, low, high = bootstrap([float(row[f"{stage}_hole_l2"]) for row in rows])
        interval = means["intervals"][stage]["hole"]["l2"]
        assert interval == {"low": pytest.approx(low, rel=1e-5), "high": pytest.approx(high, rel=1e-5), "pictures": 3}
        assert low < mean < high
    assert means["intervals"]["seconds_per_picture"] == {"low": 2, "high": 2, "pictures": 3}
    assert means["refined"]["hole"]["l1"] == pytest.approx(means["content"]["hole"]["l1"] / 2, rel=1e-4)
    assert 0 < means["refined"]["perceptual"] < means["content"]["perceptual"]

    truth, mask = pictures(ids)[1]["picture"], pictures(ids)[1]["mask"]
    expected = measure(composite(truth, torch.full_like(truth, 0.5), mask), truth, mask)
    assert float(rows[0]["content_hole_psnr"]) == pytest.approx(expected["hole"]["psnr"], rel=1e-5)
    assert torch.allclose(read_picture(tmp_path / "pictures/a__c/truth.png"), truth, atol=0.5 / 255 + 1e-6)

    shown = read_picture(tmp_path / "gallery.png")
    assert shown.shape == (3, 24 + 3 * 260, 4 * 260 - 4)
    printed = capsys.readouterr().out
    assert "trial: 3 pictures, 2.0 s each" in printed
    low, high = (means["intervals"]["refined"]["hole"]["psnr"][bound] for bound in ("low", "high"))
    assert f"{means['refined']['hole']['psnr']:.3f} [{low:.1f}, {high:.1f}]" in printed
    assert "perceptual distance" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_content_network_alone(tmp_path: Path) -> None:
    trainer(tmp_path, make_results(tmp_path)).test(Fake(("content",)), loader(["a"]), verbose=False)
    rows, means = read(tmp_path)
    assert "refined" not in means
    assert "refined" not in means["intervals"]
    assert not any(key.startswith("refined") for key in rows[0])
    assert not (tmp_path / "pictures/a/refined.png").exists()
    assert read_picture(tmp_path / "gallery.png").shape[-1] == 3 * 260 - 4


def test_a_method_without_stages_of_ours_heads_its_own_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Another(Fake):
        def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
            return super().test_step(batch, batch_idx) | {"headings": {"refined": "telea"}}

    headings = []
    draw = results_folder.gallery
    monkeypatch.setattr(results_folder, "gallery", lambda rows, names: headings.extend(names) or draw(rows, names))
    trainer(tmp_path, make_results(tmp_path)).test(Another(("refined",)), loader(["a"]), verbose=False)
    rows, means = read(tmp_path)
    assert "content" not in means
    assert means["refined"]["hole"]["l1"] > 0
    assert not any(key.startswith("content") for key in rows[0])
    assert headings == ["input", "telea", "truth"]
    assert "telea" in capsys.readouterr().out.splitlines()[2]


def test_lpips_and_fid_where_their_weights_are_given(
    tmp_path: Path, alexnet: Path, inception: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = make_results(tmp_path, lpips_weights=alexnet, fid_weights=inception)
    assert callback.weight_files == {"lpips": alexnet, "fid": inception}
    assert callback.lpips is not None
    assert callback.inception is not None
    trainer(tmp_path, callback).test(Fake(), loader(["a", "b", "c"]), verbose=False)
    rows, means = read(tmp_path)
    for stage in ("content", "refined"):
        assert set(means[stage]) == MEASURES | {"fid"}
        assert set(means[stage]["whole"]) == ERRORS | {"lpips"}
        files = [[tmp_path / "pictures" / row["id"] / f"{key}.png" for row in rows] for key in (stage, "truth")]
        pairs = [tuple(map(read_picture, pair)) for pair in zip(*files, strict=True)]
        lpips = [callback.lpips(*pair) for pair in pairs]
        assert [float(row[f"{stage}_whole_lpips"]) for row in rows] == pytest.approx(lpips, rel=1e-5)
        features = [torch.stack([callback.inception(pair[i]) for pair in pairs]) for i in (0, 1)]
        assert means[stage]["fid"] == pytest.approx(frechet_distance(*features))
    printed = capsys.readouterr().out
    assert f"{means['refined']['whole']['lpips']:.3f} [" in printed
    assert f"{means['refined']['fid']:.3f} " in printed


def test_weights_that_are_missing_are_named_before_the_run(tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    with pytest.raises(UserError, match=r"nowhere\.pth: lpips_weights is the path of torchvision's AlexNet"):
        make_results(tmp_path, lpips_weights="nowhere.pth")


def test_gallery_shows_the_first_rows(tmp_path: Path) -> None:
    callback = make_results(tmp_path, gallery_rows=1)
    trainer(tmp_path, callback).test(Fake(), loader(["a", "b"]), verbose=False)
    assert read_picture(tmp_path / "gallery.png").shape[-2] == 24 + 260


def test_a_second_test_starts_anew(tmp_path: Path) -> None:
    callback = make_results(tmp_path)
    for ids in (["a", "b"], ["c"]):
        trainer(tmp_path, callback).test(Fake(), loader(ids), verbose=False)
    assert [row["id"] for row in read(tmp_path)[0]] == ["c"]


def test_a_step_without_pictures_has_no_results(tmp_path: Path) -> None:
    class Silent(Fake):
        def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:  # type: ignore[override]
            pass

    trainer(tmp_path, make_results(tmp_path)).test(Silent(), loader(["a"]), verbose=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(("error", "raised"), [(KeyboardInterrupt, SystemExit), (ValueError, ValueError)])
def test_interrupted_run_leaves_what_is_done(
    tmp_path: Path, error: type[BaseException], raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        trainer(tmp_path, make_results(tmp_path)).test(Fake(stop_at=1, error=error), loader(["d", "c", "b"]))
    rows, means = read(tmp_path)
    assert [row["id"] for row in rows] == ["c", "d"]
    assert means["pictures"] == 2
    assert (tmp_path / "gallery.png").exists()


@pytest.mark.usefixtures("interrupts")
def test_interrupted_before_the_first_picture_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        trainer(tmp_path, make_results(tmp_path)).test(Fake(stop_at=0, error=KeyboardInterrupt), loader(["a"]))
    assert not list(tmp_path.iterdir())


def test_scalars_reach_the_loggers(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="logs", version="")
    trainer(tmp_path, make_results(tmp_path), logger=logger).test(Fake(), loader(["a"]), verbose=False)
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as file:
        (logged,) = csv.DictReader(file)
    means = read(tmp_path)[1]
    assert float(logged["content/hole_psnr"]) == means["content"]["hole"]["psnr"]
    assert float(logged["refinement/whole_ssim"]) == means["refined"]["whole"]["ssim"]
    assert float(logged["refinement/seam"]) == means["refined"]["seam"]
    assert float(logged["refinement/perceptual"]) == means["refined"]["perceptual"]
    assert float(logged["seconds_per_picture"]) == 2


def row(name: str, psnr: float = 20.0, seam: float = 1.0, seconds: float = 1.0) -> dict[str, Any]:
    return {"id": name, "content": {"hole": {"psnr": psnr}, "seam": seam}, "seconds": seconds}


def test_rows_of_all_processes_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, three pictures: the second repeats one, as Lightning's sampler does."""

    def both(parts: list[Any], mine: list[dict[str, Any]]) -> None:
        parts[:] = [mine, [{**mine[0], "id": "a"}, {**mine[0], "seconds": 9.0}]]

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_gather_object", both)
    rows = unique_rows(one for part in gather([row("c"), row("b")]) for one in part)
    assert [r["id"] for r in rows] == ["a", "b", "c"]
    assert mean_measures("trial", rows)["pictures"] == 3
    assert rows[2]["seconds"] == 1  # the first of the two


def test_order_of_the_rows_does_not_matter() -> None:
    rows = [row("b", 21), row("a", 20), row("c", 22.5)]
    assert mean_measures("trial", unique_rows(rows)) == mean_measures("trial", unique_rows(reversed(rows)))


def test_undefined_ratios_are_left_out_and_infinite_means_are_null() -> None:
    means = mean_measures("trial", [row("a", math.inf, math.nan, 1), row("b", 20, 1.5, 3)])
    assert means["content"]["seam"] == 1.5
    assert means["seconds_per_picture"] == 2
    assert for_json(means)["content"] == {"hole": {"psnr": None}, "seam": 1.5}
    assert means["intervals"]["content"]["seam"] == {"low": 1.5, "high": 1.5, "pictures": 1}
    assert for_json(means)["intervals"]["content"]["hole"]["psnr"] == {"low": None, "high": None, "pictures": 2}
    console = Console(record=True)
    console.print(printed_table(means, {"content": "content network"}))
    assert "1.500 [1.50, 1.50] of 1 " in console.export_text()
    assert for_json(mean_measures("trial", [row("a", seam=math.nan)]))["content"]["seam"] is None


def test_identical_pictures_are_written_as_json(tmp_path: Path) -> None:
    class Perfect(Fake):
        def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
            return picture

    trainer(tmp_path, make_results(tmp_path)).test(Perfect(), loader(["a"]), verbose=False)
    rows, means = read(tmp_path)
    assert means["refined"]["hole"]["psnr"] is None
    assert rows[0]["refined_hole_psnr"] == "inf"


def test_panel_every_epoch(tmp_path: Path) -> None:
    model = Fake()
    fit = trainer(tmp_path, Panel(tmp_path, pictures=3), max_epochs=2, num_sanity_val_steps=1)
    fit.fit(model, loader(["x"]), loader(["a", "b", "c", "d", "e"]))
    assert {path.name for path in (tmp_path / "panels").iterdir()} == {"epoch_000.png", "epoch_001.png"}
    assert model.calls == 2 * 2  # two batches hold the three pictures; none for the sanity check
    shown = read_picture(tmp_path / "panels" / "epoch_001.png")
    assert shown.shape == (3, 24 + 3 * 132, 3 * 132 - 4)
    middle = 24 + 64
    assert (shown[:, middle, 64] == 1).all()  # the hole
    assert torch.allclose(shown[:, middle, 132 + 64], torch.tensor(0.5), atol=0.01)  # its prediction
