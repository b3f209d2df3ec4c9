"""Lightning callbacks that turn a run into pictures and numbers."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from rich.console import Console
from rich.table import Table
from torch import Tensor, distributed

from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.images import atomic, read_picture, write_picture

STAGES = {"content": "content", "refined": "refinement"}  # a stage's key in the results -> in the loggers
COLUMNS = {"input": "input", "content": "content network", "refined": "refined", "truth": "truth"}
MEASURES = {  # a measure's key -> how the printed table names it
    "hole_l1": "L1 in the hole, %",
    "hole_l2": "L2 in the hole, %",
    "hole_psnr": "PSNR in the hole, dB",
    "hole_ssim": "SSIM in the hole",
    "whole_l1": "L1 of the whole, %",
    "whole_l2": "L2 of the whole, %",
    "whole_psnr": "PSNR of the whole, dB",
    "whole_ssim": "SSIM of the whole",
    "sharpness": "sharpness, hole / surroundings",
    "seam": "steps, border / surroundings",
}


class Results(pl.Callback):
    """Measures and keeps every picture of a test or predict run, and writes the results folder.

    The step returns `{"id": list[str], "input", "content", "refined", "truth": [B,3,H,W], "mask": [B,1,H,W],
    "seconds": list[float]}`; `refined` may be absent, and is then absent from every result. A step that
    returns no such thing has no results. Written into `folder`:

    - `pictures/<id>/{input,content,refined,truth}.png`, at once;
    - `metrics.csv`: one row a picture, sorted by id, each id once, however many processes took part;
    - `metrics.json`: `{"name", "pictures", "content": {"hole": {"l1", "l2", "psnr", "ssim"}, "whole": {...},
      "sharpness", "seam"}, "refined": {same}, "seconds_per_picture"}`: means over the pictures. A sharpness
      or seam that is undefined for a picture is left out of its mean; a mean that is not finite (the PSNR of
      identical pictures) is `null`;
    - `gallery.png`: the first `gallery_rows` pictures.

    The means also go to every logger (`content/hole_psnr`, `refinement/hole_psnr`, ...), and the pictures to
    W&B. A run that is interrupted, by Ctrl-C or an error, leaves the files for what is done so far (with
    several processes, the main one's share: the others cannot be waited for), and logs nothing.
    """

    def __init__(self, folder: str | Path, name: str, gallery_rows: int = 32) -> None:
        self.folder = Path(folder)
        self.name = name
        self.gallery_rows = gallery_rows
        self.rows: list[dict[str, Any]] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rows = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if isinstance(outputs, Mapping) and "content" in outputs:
            self._collect(outputs)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = merge(_of_all_processes(self.rows))
        if not rows or not trainer.is_global_zero:
            return
        means = self._write(rows)
        self.rows = []  # what goes wrong from here on has nothing more to save
        self._log(trainer, rows, means)
        _print(means)

    on_predict_start = on_test_start
    on_predict_batch_end = on_test_batch_end
    on_predict_epoch_end = on_test_epoch_end

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rows and trainer.is_global_zero:
            self._write(merge(self.rows))

    def _collect(self, outputs: Mapping[str, Any]) -> None:
        shown = {key: outputs[key].detach().float().cpu() for key in COLUMNS if key in outputs}
        masks = outputs["mask"].detach().float().cpu()
        for i, picture_id in enumerate(outputs["id"]):
            pictures = {key: batch[i] for key, batch in shown.items()}
            for key, picture in pictures.items():
                write_picture(picture, self._file(picture_id, key))
            stages = {stage: _measures(pictures, stage, masks[i]) for stage in STAGES if stage in pictures}
            self.rows.append({"id": picture_id, **stages, "seconds": float(outputs["seconds"][i])})

    def _write(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes the files for these rows; returns their means, those that are not finite included."""
        table = [flat(row) for row in rows]
        with atomic(self.folder / "metrics.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(table[0]), lineterminator="\n")
            writer.writeheader()
            for row in table:
                writer.writerow({k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()})
        means = summary(self.name, rows)
        with atomic(self.folder / "metrics.json") as path:
            path.write_text(json.dumps(_nulls(means), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        shown = _shown(rows)
        pictures = [[read_picture(self._file(row["id"], key)) for key in shown] for row in rows[: self.gallery_rows]]
        write_picture(gallery(pictures, [COLUMNS[key] for key in shown]), self.folder / "gallery.png")
        return means

    def _log(self, trainer: pl.Trainer, rows: list[dict[str, Any]], means: dict[str, Any]) -> None:
        scalars = {f"{STAGES[s]}/{k}": v for s in STAGES if s in means for k, v in flat(means[s]).items()}
        scalars["seconds_per_picture"] = means["seconds_per_picture"]
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
            if isinstance(logger, CSVLogger):
                logger.save()  # it would wait for its next flush
            if isinstance(logger, WandbLogger):
                shown = _shown(rows)
                measures = [key for key in flat(rows[0]) if key != "id"]
                data = []
                for row in rows:
                    images = [wandb.Image(str(self._file(row["id"], key))) for key in shown]
                    data.append([row["id"], *images, *(flat(row)[key] for key in measures)])
                with _staging_in(self.folder):
                    logger.log_table("results", ["id", *shown, *measures], data, step=trainer.global_step)
                logger.log_image("gallery", [str(self.folder / "gallery.png")], step=trainer.global_step)

    def _file(self, picture_id: str, key: str) -> Path:
        return self.folder / "pictures" / picture_id / f"{key}.png"


class Panel(pl.Callback):
    """After every validation, the first pictures: input, prediction and truth side by side.

    Written to `<folder>/panels/epoch_NNN.png` and logged to W&B. The pictures are the first `pictures` of the
    validation set (in the main process), the same every time; the prediction is `pl_module(picture, mask)`.
    """

    def __init__(self, folder: str | Path, pictures: int = 8) -> None:
        self.folder = Path(folder) / "panels"
        self.pictures = pictures
        self.shown: list[tuple[Tensor, Tensor]] = []  # pictures and masks of a batch

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.shown = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        wanted = self.pictures - sum(len(pictures) for pictures, _ in self.shown)
        if wanted > 0 and trainer.is_global_zero:
            self.shown.append((batch["picture"][:wanted], batch["mask"][:wanted]))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.shown or trainer.sanity_checking:
            return
        rows = []
        for pictures, masks in self.shown:
            inputs = pictures * (1 - masks) + masks  # the hole in white, as in the paper's figures
            rows += [list(row) for row in zip(inputs, pl_module(pictures, masks), pictures, strict=True)]
        self.shown = []
        path = self.folder / f"epoch_{trainer.current_epoch:03d}.png"
        write_picture(gallery(rows, ["input", "prediction", "truth"], side=128), path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("panel", [str(path)], step=trainer.global_step)


def merge(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows sorted by id, each id once: processes of an uneven split repeat pictures."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["id"], row)
    return [first[picture_id] for picture_id in sorted(first)]


def summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What metrics.json holds: the means of the rows."""
    stages = {stage: _mean([row[stage] for row in rows]) for stage in STAGES if stage in rows[0]}
    seconds = _mean([row["seconds"] for row in rows])
    return {"name": name, "pictures": len(rows), **stages, "seconds_per_picture": seconds}


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"hole": {"l1": 1}}` as `{"hole_l1": 1}`."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            result |= {f"{key}_{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            result[key] = value
    return result


def _shown(rows: list[dict[str, Any]]) -> list[str]:
    """The kinds of pictures that there are: all but the stages that did not run."""
    return [key for key in COLUMNS if key not in STAGES or key in rows[0]]


def _measures(pictures: Mapping[str, Tensor], stage: str, mask: Tensor) -> dict[str, Any]:
    picture = pictures[stage]
    ratios = {"sharpness": sharpness_ratio(picture, mask), "seam": seam_ratio(picture, mask)}
    return {**measure(picture, pictures["truth"], mask), **ratios}


def _of_all_processes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Keeps a table's pictures beside the run: W&B would leave an offline run's in the user's home for good."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder / "wandb")
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _mean(values: list[Any]) -> Any:
    """The mean, leaf by leaf, of the values that are defined."""
    if isinstance(values[0], Mapping):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _nulls(value: Any) -> Any:
    """The same with None for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _nulls(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(means: Mapping[str, Any]) -> None:
    stages = {stage: flat(means[stage]) for stage in STAGES if stage in means}
    seconds = means["seconds_per_picture"]
    table = Table(title=f"{means['name']}: {means['pictures']} pictures, {seconds:.1f} s each")
    table.add_column("mean")
    for stage in stages:
        table.add_column(COLUMNS[stage], justify="right")
    for key, label in MEASURES.items():
        table.add_row(label, *(f"{measures[key]:.3f}" for measures in stages.values()))
    Console().print(table)
