"""Lightning callbacks that turn a run into pictures and numbers."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import frechet_distance, load_inception, load_lpips
from inpaint.evaluation.resume import Progress, evaluation_key
from inpaint.evaluation.table import (
    COLUMNS,
    CONFIDENCE,
    MEASURES,
    STAGES,
    _cell,
    _nulls,
    _shown,
    _stages,
    flat,
    merge,
    summary,
)
from inpaint.files import atomic
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs.processes import gather


class Results(pl.Callback):
    """Measures and keeps every picture of a test or predict run, and writes the results folder.

    The step returns `{"id": list[str], "input", "content", "refined", "truth": [B,3,H,W], "mask": [B,1,H,W],
    "seconds": list[float]}`; `content` or `refined` may be absent, and is then absent from every result. A step that
    returns neither has no results. `"headings": {"refined": "telea"}` renames a column of the table and the gallery.
    Written into `folder`:

    - `pictures/<id>/{input,content,refined,truth}.png`, at once;
    - `metrics.csv`: one row a picture, sorted by id, each id once, however many processes took part;
    - `metrics.json`: `{"name", "pictures", "content": {"hole": {"l1", "l2", "psnr", "ssim"}, "whole": {...},
      "sharpness", "seam"}, "refined": {same}, "seconds_per_picture", "confidence", "intervals"}`: means over the
      pictures. A sharpness or seam that is undefined for a picture is left out of its mean; a mean that is not finite
      (the PSNR of identical pictures) is `null`. `intervals` has, in the place of each mean, `{"low", "high",
      "pictures"}`: its 95 % bootstrap interval over the pictures, and how many of them it is of;
    - `gallery.png`: the first `gallery_rows` pictures.

    The means also go to every logger (`content/hole_psnr`, `refinement/hole_psnr`, ...), and the pictures to
    W&B. A run that is interrupted, by Ctrl-C or an error, leaves the files for what is done so far (with
    several processes, the main one's share: the others cannot be waited for), and logs nothing.

    A run in a folder where another one, with the same weights and settings, was killed or interrupted goes on with
    the pictures that are left, if its data module can leave out those that it has `finished`.

    Args:
        folder: where all of it goes.
        name: of the experiment, in the table's title.
        gallery_rows: how many pictures the gallery shows.
        settings: all that the results depend on, as text; runs that differ in it share nothing.
        lpips_weights: the file of AlexNet's weights; with it, `whole` also has `lpips` (`load_lpips`).
        fid_weights: the file of Inception's weights; with it, each stage has `fid`, between its pictures and the true
            ones (`load_inception`). It is one number for the set, with no interval, and says little below thousands of
            pictures.

    Raises:
        UserError: a file of weights, or the package that it needs, is missing; the processes of one run were given
            different folders; `gallery_rows` is below 1.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        gallery_rows: int = 32,
        settings: str = "",
        lpips_weights: str | Path | None = None,
        fid_weights: str | Path | None = None,
    ) -> None:
        if not isinstance(gallery_rows, int) or gallery_rows < 1:
            raise UserError(f"callbacks.results.gallery_rows is {gallery_rows}, but must be a whole number above 0.")
        self.folder = Path(folder)
        self.name = name
        self.gallery_rows = gallery_rows
        self.settings = settings
        self.lpips = load_lpips(lpips_weights) if lpips_weights is not None else None
        self.inception = load_inception(fid_weights) if fid_weights is not None else None
        named = {"lpips": lpips_weights, "fid": fid_weights}
        self.weight_files = {key: Path(path) for key, path in named.items() if path is not None}
        self.headings = COLUMNS
        self.rows: list[dict[str, Any]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        main = trainer.strategy.broadcast(str(self.folder))
        if main != str(self.folder):
            raise UserError(
                f"Process {trainer.global_rank} writes to {self.folder}, but the first one to {main}: give all of them "
                "the same, with hydra.run.dir=FOLDER."
            )
        if stage not in ("test", "predict"):
            return
        key = evaluation_key(pl_module, f"{self.settings}, {trainer.precision}")
        self.progress = Progress(self.folder, key, trainer.global_rank)
        self.rows = []
        data: Any = getattr(trainer, "datamodule", None)
        if trainer.is_global_zero:
            if hasattr(data, "finished"):
                self.rows = [row for row in merge(self.progress.rows()) if self._has_pictures(row)]
            self.progress.restart(self.rows)
            if self.rows:
                print(f"Going on after {len(self.rows)} pictures that are done, in {self.folder}")
        finished = trainer.strategy.broadcast({row["id"] for row in self.rows})
        if finished:
            data.finished = finished

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if isinstance(outputs, Mapping) and any(stage in outputs for stage in STAGES):
            self._collect(outputs)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = merge(row for part in gather(self.rows) for row in part)
        if not rows or not trainer.is_global_zero:
            return
        means = self._write(rows)
        self.progress.restart([])
        self.rows = []  # what goes wrong from here on has nothing more to save
        self._log(trainer, rows, means)
        self._print(means)

    on_predict_batch_end = on_test_batch_end
    on_predict_epoch_end = on_test_epoch_end

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rows and trainer.is_global_zero:
            self._write(merge(self.rows))

    def _collect(self, outputs: Mapping[str, Any]) -> None:
        self.headings = COLUMNS | outputs.get("headings", {})
        shown = {key: outputs[key].detach().float().cpu() for key in COLUMNS if key in outputs}
        masks = outputs["mask"].detach().float().cpu()
        for i, picture_id in enumerate(outputs["id"]):
            pictures = {key: batch[i] for key, batch in shown.items()}
            for key, picture in pictures.items():
                write_picture(picture, self._file(picture_id, key))
            stages = {stage: self._measures(pictures, stage, masks[i]) for stage in STAGES if stage in pictures}
            self.rows.append({"id": picture_id, **stages, "seconds": float(outputs["seconds"][i])})
            self.progress.add(self.rows[-1])

    def _measures(self, pictures: Mapping[str, Tensor], stage: str, mask: Tensor) -> dict[str, Any]:
        picture, truth = pictures[stage], pictures["truth"]
        errors = measure(picture, truth, mask)
        if self.lpips is not None:
            errors["whole"]["lpips"] = self.lpips(picture, truth)
        return {**errors, "sharpness": sharpness_ratio(picture, mask), "seam": seam_ratio(picture, mask)}

    def _write(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes the files for these rows; returns their means, those that are not finite included."""
        table = [flat(row) for row in rows]
        with atomic(self.folder / "metrics.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(table[0]), lineterminator="\n")
            writer.writeheader()
            for row in table:
                writer.writerow({k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()})
        means = summary(self.name, rows)
        if self.inception is not None:
            truth = self._inception_features(rows, "truth")
            for stage in _stages(rows):
                means[stage]["fid"] = frechet_distance(self._inception_features(rows, stage), truth)
        with atomic(self.folder / "metrics.json") as path:
            path.write_text(json.dumps(_nulls(means), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        shown = _shown(rows)
        pictures = [[read_picture(self._file(row["id"], key)) for key in shown] for row in rows[: self.gallery_rows]]
        write_picture(gallery(pictures, [self.headings[key] for key in shown]), self.folder / "gallery.png")
        return means

    def _inception_features(self, rows: list[dict[str, Any]], key: str) -> Tensor:
        assert self.inception is not None
        return torch.stack([self.inception(read_picture(self._file(row["id"], key))) for row in rows])

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

    def _has_pictures(self, row: Mapping[str, Any]) -> bool:
        return all(self._file(row["id"], key).is_file() for key in COLUMNS if key not in STAGES or key in row)

    def _print(self, means: Mapping[str, Any]) -> None:
        stages = {stage: flat(means[stage]) for stage in STAGES if stage in means}
        bounds = {stage: flat(means["intervals"][stage]) for stage in stages}
        seconds = means["seconds_per_picture"]
        table = Table(title=f"{means['name']}: {means['pictures']} pictures, {seconds:.1f} s each")
        table.add_column(f"mean [{CONFIDENCE:.0%} interval]")
        for stage in stages:
            table.add_column(self.headings[stage], justify="right")
        for key, label in MEASURES.items():
            if any(key in measures for measures in stages.values()):
                table.add_row(label, *(_cell(key, stages[stage], bounds[stage], means["pictures"]) for stage in stages))
        Console().print(table)

    def _file(self, picture_id: str, key: str) -> Path:
        return self.folder / "pictures" / picture_id / f"{key}.png"


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
