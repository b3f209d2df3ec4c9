import csv
import json
import math
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from rich.console import Console
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from inpaint.errors import UserError
from inpaint.evaluation import folder as results_folder
from inpaint.evaluation.metrics import measure
from inpaint.evaluation.panel import Panel
from inpaint.evaluation.perceptual import discriminative_scores, frechet_distance
from inpaint.evaluation.statistics import mean_interval
from inpaint.evaluation.table import by_area, for_json, mean_measures, printed_tables, unique_rows
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import read_picture, write_picture
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
    ids = ["b", "a__c", "d", "e", "f", "g"]
    trainer(tmp_path, make_results(tmp_path)).test(Fake(), loader(ids), verbose=False)

    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "metrics.csv", "metrics.json", "gallery.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == set(ids)
    for name in ids:
        names = {path.name for path in (tmp_path / "pictures" / name).iterdir()}
        assert names == {"input.png", "content.png", "refined.png", "truth.png", "mask.png"}

    rows, means = read(tmp_path)
    assert [row["id"] for row in rows] == sorted(ids)
    assert set(rows[0]) == {"id", "area", "seconds"} | {
        f"{stage}_{name}"
        for stage in ("content", "refined")
        for name in [*(f"{where}_{error}" for where in ("hole", "whole") for error in ERRORS), *MEASURES]
        if name not in ("hole", "whole")
    }
    assert list(means) == [
        "name", "pictures", "area", "content", "refined", "seconds_per_picture", "confidence", "intervals",
    ]  # fmt: skip
    assert (means["name"], means["pictures"], means["seconds_per_picture"]) == ("trial", 6, 2.0)
    for stage in ("content", "refined"):
        assert set(means[stage]) == MEASURES
        assert set(means[stage]["hole"]) == set(means[stage]["whole"]) == ERRORS
        mean = sum(float(row[f"{stage}_hole_l2"]) for row in rows) / 6
        assert means[stage]["hole"]["l2"] == pytest.approx(mean, rel=1e-5)
        mean, low, high = mean_interval([float(row[f"{stage}_hole_l2"]) for row in rows])
        interval = means["intervals"][stage]["hole"]["l2"]
        assert interval == {"low": pytest.approx(low, rel=1e-5), "high": pytest.approx(high, rel=1e-5), "pictures": 6}
        assert low < mean < high
    assert means["intervals"]["seconds_per_picture"] == {"low": 2, "high": 2, "pictures": 6}
    assert means["area"] == float(rows[0]["area"]) == 25
    assert means["refined"]["hole"]["l1"] == pytest.approx(means["content"]["hole"]["l1"] / 2, rel=1e-4)
    assert 0 < means["refined"]["perceptual"] < means["content"]["perceptual"]

    truth, mask = pictures(ids)[1]["picture"], pictures(ids)[1]["mask"]
    expected = measure(composite(truth, torch.full_like(truth, 0.5), mask), truth, mask)
    assert float(rows[0]["content_hole_psnr"]) == pytest.approx(expected["hole"]["psnr"], rel=1e-5)
    assert torch.allclose(read_picture(tmp_path / "pictures/a__c/truth.png"), truth, atol=0.5 / 255 + 1e-6)
    assert torch.equal(read_picture(tmp_path / "pictures/a__c/mask.png"), mask.expand(3, -1, -1))

    shown = read_picture(tmp_path / "gallery.png")
    assert shown.shape == (3, 24 + 6 * 260, 4 * 260 - 4)
    printed = capsys.readouterr().out
    assert "trial: 6 pictures, 2.0 s each" in printed
    low, high = (means["intervals"]["refined"]["hole"]["psnr"][bound] for bound in ("low", "high"))
    assert f"{means['refined']['hole']['psnr']:.3f} [{low:.1f}, {high:.1f}]" in printed
    assert "perceptual distance" in printed
    assert "share" not in printed  # one hole
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


def test_measures_by_networks_where_their_weights_are_given(
    tmp_path: Path, alexnet: Path, vgg16: Path, inception: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = make_results(tmp_path, lpips_weights=alexnet, lpips_vgg_weights=vgg16, fid_weights=inception)
    assert callback.weight_files == {"lpips": alexnet, "lpips_vgg": vgg16, "fid": inception}
    lpips, inception_features = callback.measures.lpips, callback.measures.inception
    assert inception_features is not None
    trainer(tmp_path, callback).test(Fake(), loader(["a", "b", "c"]), verbose=False)
    rows, means = read(tmp_path)
    for stage in ("content", "refined"):
        assert set(means[stage]) == MEASURES | {"fid", "p_ids", "u_ids"}
        assert set(means[stage]["whole"]) == ERRORS | {"lpips", "lpips_vgg"}
        files = [[tmp_path / "pictures" / row["id"] / f"{key}.png" for row in rows] for key in (stage, "truth")]
        pairs = [tuple(map(read_picture, pair)) for pair in zip(*files, strict=True)]
        for name, measured in lpips.items():
            expected = [measured(*pair) for pair in pairs]
            assert [float(row[f"{stage}_whole_{name}"]) for row in rows] == pytest.approx(expected, rel=1e-5)
        features = [torch.stack([inception_features(pair[i]) for pair in pairs]) for i in (0, 1)]
        assert means[stage]["fid"] == pytest.approx(frechet_distance(*features))
        assert (means[stage]["p_ids"], means[stage]["u_ids"]) == pytest.approx(discriminative_scores(*features))
    printed = capsys.readouterr().out
    assert f"{means['refined']['whole']['lpips']:.3f} " in printed
    assert f"{means['refined']['fid']:.3f} " in printed
    assert "U-IDS, %" in printed


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
    assert float(logged["test/content/hole_psnr"]) == means["content"]["hole"]["psnr"]
    assert float(logged["test/refined/whole_ssim"]) == means["refined"]["whole"]["ssim"]
    assert float(logged["test/refined/seam"]) == means["refined"]["seam"]
    assert float(logged["test/refined/perceptual"]) == means["refined"]["perceptual"]
    assert float(logged["test/seconds_per_picture"]) == 2
    assert all(name.startswith("test/") for name in logged if name not in ("epoch", "step"))


def row(name: str, psnr: float = 20.0, seam: float = 1.0, seconds: float = 1.0) -> dict[str, Any]:
    return {"id": name, "area": 25.0, "content": {"hole": {"psnr": psnr}, "seam": seam}, "seconds": seconds}


def test_rows_of_all_processes_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, three pictures: the second repeats one, as Lightning's sampler does."""

    def both(parts: list[Any], mine: list[dict[str, Any]]) -> None:
        parts[:] = [mine, [{**mine[0], "id": "a"}, {**mine[0], "seconds": 9.0}]]

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_gather_object", both)
    rows = unique_rows(one for part in gather([row("c"), row("b")]) for one in part)
    assert [r["id"] for r in rows] == ["a", "b", "c"]
    assert mean_measures(rows)["pictures"] == 3
    assert rows[2]["seconds"] == 1  # the first of the two


def test_order_of_the_rows_does_not_matter() -> None:
    rows = [row("b", 21), row("a", 20), row("c", 22.5)]
    assert mean_measures(unique_rows(rows)) == mean_measures(unique_rows(reversed(rows)))


def test_undefined_ratios_are_left_out_and_infinite_means_are_null() -> None:
    first, others = row("a", math.inf, math.nan, 1), [row(name, seconds=3) for name in "bcdef"]
    means = mean_measures([first, row("b", 20, 1.5, 3)])
    assert means["content"]["seam"] == 1.5
    assert means["seconds_per_picture"] == 2
    assert for_json(means)["content"] == {"hole": {"psnr": None}, "seam": 1.5}
    assert for_json(means)["intervals"]["content"]["seam"] == {"low": None, "high": None, "pictures": 1}
    assert for_json(means)["intervals"]["content"]["hole"]["psnr"] == {"low": None, "high": None, "pictures": 2}
    assert "1.500 of 1 " in printed({"name": "trial", **means})
    means = mean_measures([first, *others, row("g")])
    assert means["intervals"]["content"]["seam"] == {"low": 1, "high": 1, "pictures": 6}
    assert "1.000 [1.00, 1.00] of 6 " in printed({"name": "trial", **means})
    assert for_json(mean_measures([row("a", seam=math.nan)]))["content"]["seam"] is None


def printed(means: dict[str, Any]) -> str:
    console = Console(record=True, width=200)
    console.print(*printed_tables(means, {"content": "content network"}))
    return console.export_text()


def test_classes_of_area_hold_their_upper_bound() -> None:
    areas = {"a": 10.0, "b": 10.0001, "c": 0.001, "d": 100.0, "e": 39.9}
    assert by_area(areas) == {"0 to 10 %": ["a", "c"], "10 to 20 %": ["b"], "30 to 40 %": ["e"], "90 to 100 %": ["d"]}


class Holes(Fake):
    """Gives the first picture a smaller hole than the others."""

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if batch_idx == 0:
            batch["mask"] = batch["mask"].clone()
            batch["mask"][0, :, 20:] = 0
        return super().test_step(batch, batch_idx)


def test_holes_of_several_areas_are_measured_by_area(
    tmp_path: Path, inception: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = make_results(tmp_path, fid_weights=inception)
    trainer(tmp_path, callback).test(Holes(), loader(["a", "b", "c"]), verbose=False)
    rows, means = read(tmp_path)
    assert [float(row["area"]) for row in rows] == [pytest.approx(100 * 8 * 24 / 48**2, abs=1e-4), 25, 25]
    assert list(means["by_area"]) == ["0 to 10 %", "20 to 30 %"]
    small, large = means["by_area"].values()
    assert (small["pictures"], large["pictures"]) == (1, 2)
    assert small["refined"]["hole"]["psnr"] == pytest.approx(float(rows[0]["refined_hole_psnr"]), rel=1e-5)
    of_large = sum(float(row["refined_hole_psnr"]) for row in rows[1:]) / 2
    assert large["refined"]["hole"]["psnr"] == pytest.approx(of_large, rel=1e-5)
    assert means["refined"]["fid"] > 0
    assert not {"fid", "p_ids", "u_ids"} & {*small["refined"], *large["refined"]}  # a class is no set to compare
    shown = capsys.readouterr().out
    assert shown.count("FID") == 1
    assert "refined, by the hole's share of the picture" in shown
    assert "20 to 30 % (2)" in shown
    assert f"{large['refined']['hole']['psnr']:.3f}" in shown


def test_seconds_that_nobody_knows_are_left_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Given(Holes):
        def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
            step = super().test_step(batch, batch_idx)
            return step | {"seconds": [math.nan] * len(step["id"])}

    logger = CSVLogger(tmp_path, name="logs", version="")
    undefined = {"never": lambda *_: math.nan}
    callback = make_results(tmp_path, measures=undefined)
    trainer(tmp_path, callback, logger=logger).test(Given(), loader(["a", "b", "c"]), verbose=False)
    rows, means = read(tmp_path)
    assert [row["seconds"] for row in rows] == ["nan"] * 3
    assert means["seconds_per_picture"] is None
    assert means["by_area"]["0 to 10 %"]["seconds_per_picture"] is None
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as file:
        (logged,) = csv.DictReader(file)
    assert "test/refined/hole_psnr" in logged
    assert not {"test/seconds_per_picture", "test/refined/never"} & logged.keys()
    printed = capsys.readouterr().out
    assert "trial: 3 pictures\n" in re.sub(" +\n", "\n", printed)
    assert "nan" not in printed
    assert "of 0" not in printed


def test_what_is_undefined_is_an_empty_cell_at_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    logger, tables = WandbLogger.__new__(WandbLogger), []
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda *_, **__: None)
    monkeypatch.setattr(WandbLogger, "log_image", lambda *_, **__: None)
    monkeypatch.setattr(WandbLogger, "log_table", lambda _, name, columns, lines, step: tables.append((columns, lines)))
    callback = make_results(tmp_path)
    one = row("a", seam=math.nan, seconds=math.nan)
    for kind in ("input", "content", "truth"):
        write_picture(torch.zeros(3, 4, 4), callback.folder.picture("a", kind))
    fake: Any = SimpleNamespace(loggers=[logger], global_step=0)
    callback._log(fake, [one], mean_measures([one]))
    ((columns, (line,)),) = tables
    cells = dict(zip(columns, line, strict=True))
    assert (cells["content_hole_psnr"], cells["content_seam"], cells["seconds"]) == (20, None, None)


def darkness(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """1 - the mean in the hole; undefined where the hole covers less than a tenth."""
    assert prediction.shape == truth.shape == (3, *mask.shape[1:])
    assert mask.unique().tolist() == [0, 1]
    return 1 - prediction[:, mask[0] > 0].mean() if mask.mean() >= 0.1 else torch.tensor(math.nan)


def test_own_measures_appear_wherever_others_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = CSVLogger(tmp_path, name="logs", version="")
    callback = make_results(tmp_path, measures={"darkness": darkness, "none": None, "two": lambda *_: 2})
    trainer(tmp_path, callback, logger=logger).test(Holes(), loader(["a", "b", "c"]), verbose=False)
    rows, means = read(tmp_path)
    assert [row["content_darkness"] for row in rows] == ["nan", *["0.498039"] * 2]  # of the grey as it is written
    assert means["content"]["darkness"] == pytest.approx(1 - 128 / 255)
    assert means["intervals"]["content"]["darkness"] == {"low": None, "high": None, "pictures": 2}
    assert means["by_area"]["0 to 10 %"]["refined"]["darkness"] is None
    assert set(means["refined"]) == MEASURES | {"darkness", "two"}
    with (tmp_path / "logs" / "metrics.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/refined/two"]) == 2
    assert "0.498 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (lambda *_: "much", r"The measure mine returned a str for picture a, but must return a number"),
        (lambda *_: None, r"The measure mine returned a NoneType for picture a"),
        (lambda *_: torch.zeros(2), r"The measure mine returned a Tensor for picture a"),
        (lambda *_: 1 / 0, r"The measure mine failed on picture a: ZeroDivisionError: division by zero"),
        (lambda prediction: 1.0, r"The measure mine failed on picture a: TypeError: .* positional argument"),
    ],
)
def test_an_own_measure_that_fails_is_named(measure: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        trainer(tmp_path, make_results(tmp_path, measures={"mine": measure})).test(Fake(), loader(["a"]), verbose=False)


def test_an_own_measure_is_a_function_of_a_name_that_is_free(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"measures\.mine is 3\.0, but must be a function .* _partial_: true"):
        make_results(tmp_path, measures={"mine": 3.0})
    for name in ("hole", "perceptual", "hole_psnr", "fid"):
        with pytest.raises(UserError, match=rf"measures\.{name} has a name that is taken"):
            make_results(tmp_path, measures={name: darkness})


def test_the_network_of_the_features_is_named(tmp_path: Path) -> None:
    module = Fake()
    trainer(tmp_path, make_results(tmp_path)).test(module, loader(["a"]), verbose=False)
    assert "features" not in read(tmp_path)[1]
    module.features_name = "VGG-16"  # type: ignore[assignment]
    trainer(tmp_path, make_results(tmp_path)).test(module, loader(["a"]), verbose=False)
    assert read(tmp_path)[1]["features"] == "VGG-16"


def test_wandb_is_imported_where_it_is_used_alone() -> None:
    """A machine without it runs `logger=csv`."""
    for path in Path(results_folder.__file__).parent.glob("*.py"):
        assert not re.search("^(import|from) wandb", path.read_text(encoding="utf-8"), re.MULTILINE)


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
