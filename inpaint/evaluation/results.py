"""The Lightning callback that measures each filled test picture and saves it to the results folder."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation import table
from inpaint.evaluation.folder import ResultsFolder
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import frechet_distance, load_inception, load_lpips, perceptual_distance
from inpaint.evaluation.resume import MeasuredRows, evaluation_key
from inpaint.evaluation.table import HEADINGS, STAGES, Row, flatten_keys, kinds_of, stages_of
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs.processes import gather
from inpaint.vgg import load_vgg


class Results(pl.Callback):
    """Measures and keeps every picture of a test run, and writes the results folder.

    The test step returns `{"id": list[str], "input", "content", "refined", "truth": [B,3,H,W], "mask": [B,1,H,W],
    "seconds": list[float]}`; `content` or `refined` may be absent, and is then absent from every result. A step that
    returns neither has no results. `"headings": {"refined": "telea"}` renames a column of the table and the gallery.
    Written into `folder`:

    - `pictures/<id>/{input,content,refined,truth}.png`, at once;
    - `metrics.csv`: one row a picture, sorted by id, each id once, however many processes took part;
    - `metrics.json`: `{"name", "pictures", "content": {"hole": {"l1", "l2", "psnr", "ssim"}, "whole": {...},
      "perceptual", "sharpness", "seam"}, "refined": {same}, "seconds_per_picture", "confidence", "intervals"}`: means
      over the pictures. A sharpness or seam that is undefined for a picture is left out of its mean; a mean that is not
      finite (the PSNR of identical pictures) is `null`. `intervals` has, in the place of each mean, `{"low", "high",
      "pictures"}`: its 95 % bootstrap interval over the pictures, and how many of them it is of;
    - `gallery.png`: the first `gallery_rows` pictures.

    The loggers get the means (`content/hole_psnr`, `refinement/hole_psnr`, ...); W&B also a table of all pictures with
    their measures, `results`, and the `gallery`. A run that is interrupted leaves the files for what is done so far
    (with several processes, what the main one has), and logs nothing. Another run in its folder, with the same weights
    and settings, goes on with the pictures that are left, if its data module can leave out those that it has
    `finished`. LPIPS and FID are measured on the pictures as they are written: either may be added or dropped then.

    Args:
        folder: where all of it goes.
        name: of the experiment, in the table's title.
        gallery_rows: how many pictures the gallery shows.
        settings: all that the results depend on besides the weights, as text; runs that differ in it share nothing.
        lpips_weights: the file of AlexNet's weights, or None; with it, `whole` also has `lpips` (`load_lpips`).
        fid_weights: the file of Inception's weights, or None; with it, each stage has `fid`, between its pictures and
            the true ones (`load_inception`): one number for the set, with no interval.

    Raises:
        UserError: a file of weights, or the package that it needs, is missing; the processes of one run were given
            different folders; `gallery_rows` is below 1.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        gallery_rows: int,
        settings: str,
        lpips_weights: str | Path | None,
        fid_weights: str | Path | None,
    ) -> None:
        if not isinstance(gallery_rows, int) or gallery_rows < 1:
            raise UserError(f"callbacks.results.gallery_rows is {gallery_rows}, but must be a whole number above 0.")
        self.folder, self.name = ResultsFolder(Path(folder)), name
        self.gallery_rows, self.settings = gallery_rows, settings
        self.lpips = load_lpips(lpips_weights) if lpips_weights is not None else None
        self.inception = load_inception(fid_weights) if fid_weights is not None else None
        given = {"lpips": lpips_weights, "fid": fid_weights}
        self.weight_files = {key: Path(path) for key, path in given.items() if path is not None}
        self.headings = HEADINGS
        self.rows: list[Row] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        first = trainer.strategy.broadcast(str(self.folder.path))
        if first != str(self.folder.path):
            raise UserError(
                f"Process {trainer.global_rank} writes to {self.folder.path}, but the first one to {first}: give all "
                "of them the same, with hydra.run.dir=FOLDER."
            )
        if stage != "test":
            return
        key = evaluation_key(pl_module, f"{self.settings}, {trainer.precision}")
        self.measured = MeasuredRows(self.folder.path, key, trainer.global_rank)
        data: Any = getattr(trainer, "datamodule", None)
        rows = self._finished_rows(data) if trainer.is_global_zero else []
        if finished := trainer.strategy.broadcast({row["id"] for row in rows}):
            data.finished = finished
        self.rows = [self._with_lpips(row) for row in rows]

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.vgg = load_vgg().on(pl_module.device, "float32")

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        if not isinstance(outputs, Mapping) or not stages_of(outputs):
            return
        self.headings = HEADINGS | outputs.get("headings", {})
        batches = {kind: outputs[kind].detach().float().cpu() for kind in kinds_of(outputs)}
        masks = outputs["mask"].detach().float().cpu()
        for i, picture_id in enumerate(outputs["id"]):
            pictures = {kind: batch[i] for kind, batch in batches.items()}
            for kind, picture in pictures.items():
                write_picture(picture, self.folder.picture(picture_id, kind))
            row: Row = {"id": picture_id}
            for stage in stages_of(pictures):
                sharpness, seam = (ratio(pictures[stage], masks[i]) for ratio in (sharpness_ratio, seam_ratio))
                errors = measure(pictures[stage], pictures["truth"], masks[i])
                perceptual = perceptual_distance(pictures[stage], pictures["truth"], masks[i], self.vgg)
                row[stage] = {**errors, "perceptual": perceptual, "sharpness": sharpness, "seam": seam}
            row["seconds"] = float(outputs["seconds"][i])
            self.measured.append(row)
            self.rows.append(self._with_lpips(row))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = table.unique_rows(row for part in gather(self.rows) for row in part)
        if not rows or not trainer.is_global_zero:
            return
        means = self._write(rows)
        self.measured.replace([])
        self.rows = []  # from here on an error leaves nothing to be saved
        self._log(trainer, rows, means)
        Console().print(table.printed_table(means, self.headings))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rows and trainer.is_global_zero:
            self._write(table.unique_rows(self.rows))

    def _finished_rows(self, data: Any) -> list[Row]:
        """The rows of an earlier run of this evaluation whose pictures are there; all others are forgotten.

        So are rows without the perceptual distance, which earlier versions did not measure.
        """
        measured = table.unique_rows(self.measured.read()) if hasattr(data, "finished") else []
        complete = [row for row in measured if all("perceptual" in row[stage] for stage in stages_of(row))]
        rows = [row for row in complete if self.folder.has_pictures(row)]
        if rows:
            print(f"Going on after {len(rows)} pictures that are done, in {self.folder.path}")
        elif self.measured.files():
            print(
                f"What {self.folder.path} has of an unfinished evaluation is of other weights, data or settings, or is "
                "damaged: starting anew"
            )
        self.measured.replace(rows)
        return rows

    def _with_lpips(self, row: Row) -> Row:
        """The row with LPIPS, if that is asked for, of the pictures as they are written."""
        if self.lpips is None:
            return row
        truth = self._read(row, "truth")
        lpips = {stage: self.lpips(self._read(row, stage), truth) for stage in stages_of(row)}
        return row | {s: {**row[s], "whole": {**row[s]["whole"], "lpips": value}} for s, value in lpips.items()}

    def _write(self, rows: list[Row]) -> dict[str, Any]:
        """Writes the files for these rows; returns their means, those that are not finite included."""
        self.folder.write_rows(rows)
        means = table.mean_measures(self.name, rows)
        if self.inception is not None:
            features = {
                kind: torch.stack([self.inception(self._read(row, kind)) for row in rows])
                for kind in ("truth", *stages_of(rows[0]))
            }
            for stage in stages_of(rows[0]):
                means[stage]["fid"] = frechet_distance(features[stage], features["truth"])
        self.folder.write_means(means)
        self.folder.write_gallery(rows[: self.gallery_rows], self.headings)
        return means

    def _read(self, row: Row, kind: str) -> Tensor:
        return read_picture(self.folder.picture(row["id"], kind))

    def _log(self, trainer: pl.Trainer, rows: list[Row], means: Mapping[str, Any]) -> None:
        """Logs the means everywhere, and the pictures to W&B."""
        stages = stages_of(means)
        scalars = {f"{STAGES[s]}/{name}": value for s in stages for name, value in flatten_keys(means[s]).items()}
        scalars["seconds_per_picture"] = means["seconds_per_picture"]
        kinds, measures = kinds_of(rows[0]), [name for name in flatten_keys(rows[0]) if name != "id"]
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
            if isinstance(logger, WandbLogger):
                lines = []
                for row in rows:
                    images = [wandb.Image(str(self.folder.picture(row["id"], kind))) for kind in kinds]
                    lines.append([row["id"], *images, *(flatten_keys(row)[name] for name in measures)])
                with _staging_in(self.folder.path):
                    logger.log_table("results", ["id", *kinds, *measures], lines, step=trainer.global_step)
                logger.log_image("gallery", [str(self.folder.path / "gallery.png")], step=trainer.global_step)


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Keeps a table's pictures beside the run: W&B would leave an offline run's in the user's home for good."""
    own = "WANDB_DATA_DIR" not in os.environ
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))
    try:
        yield
    finally:
        if own:
            del os.environ["WANDB_DATA_DIR"]
