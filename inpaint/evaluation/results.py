"""The Lightning callback that measures and keeps what a test run fills."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.folder import ResultsFolder
from inpaint.evaluation.loggers import log_results
from inpaint.evaluation.metrics import measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import frechet_distance, load_inception, load_lpips
from inpaint.evaluation.resume import MeasuredRows, evaluation_key
from inpaint.evaluation.table import HEADINGS, Row, kinds_of, mean_measures, printed_table, stages_of, unique_rows
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs.processes import gather


class Results(pl.Callback):
    """Measures and keeps every picture of a test run, and writes the results folder.

    The test step returns `{"id": list[str], "input", "content", "refined", "truth": [B,3,H,W], "mask": [B,1,H,W],
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

    The loggers get the means, and W&B the pictures (`log_results`). A run that is interrupted, by Ctrl-C or an error,
    leaves the files for what is done so far (with several processes, what the main one has: the others cannot be waited
    for), and logs nothing.

    A run in a folder where another one, with the same weights and settings, was killed or interrupted goes on with
    the pictures that are left, if its data module can leave out those that it has `finished`. LPIPS and FID are
    measured on the pictures as they are written, so they may be asked for, or no longer, when it goes on.

    Args:
        folder: where all of it goes.
        name: of the experiment, in the table's title.
        gallery_rows: how many pictures the gallery shows.
        settings: all that the results depend on besides the weights, as text; runs that differ in it share nothing.
        lpips_weights: the file of AlexNet's weights, or None; with it, `whole` also has `lpips` (`load_lpips`).
        fid_weights: the file of Inception's weights, or None; with it, each stage has `fid`, between its pictures and
            the true ones (`load_inception`). It is one number for the set, with no interval, and says little below
            thousands of pictures.

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
        self.folder, self.name, self.gallery_rows = ResultsFolder(Path(folder)), name, gallery_rows
        self.settings = settings
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
            stages = {stage: _measures(pictures[stage], pictures["truth"], masks[i]) for stage in stages_of(pictures)}
            row = {"id": picture_id, **stages, "seconds": float(outputs["seconds"][i])}
            self.measured.append(row)
            self.rows.append(self._with_lpips(row))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = unique_rows(row for part in gather(self.rows) for row in part)
        if not rows or not trainer.is_global_zero:
            return
        means = self._write(rows)
        self.measured.replace([])
        self.rows = []  # from here on an error leaves nothing to be saved
        log_results(trainer, self.folder, rows, means)
        Console().print(printed_table(means, self.headings))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rows and trainer.is_global_zero:
            self._write(unique_rows(self.rows))

    def _finished_rows(self, data: Any) -> list[Row]:
        """The rows of an earlier run of this evaluation whose pictures are there; all others are forgotten."""
        rows: list[Row] = []
        if hasattr(data, "finished"):
            rows = [row for row in unique_rows(self.measured.read()) if self.folder.has_pictures(row)]
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
        means = mean_measures(self.name, rows)
        if self.inception is not None:
            truth = self._inception_features(rows, "truth")
            for stage in stages_of(rows[0]):
                means[stage]["fid"] = frechet_distance(self._inception_features(rows, stage), truth)
        self.folder.write_means(means)
        self.folder.write_gallery(rows[: self.gallery_rows], self.headings)
        return means

    def _inception_features(self, rows: list[Row], kind: str) -> Tensor:
        assert self.inception is not None
        return torch.stack([self.inception(self._read(row, kind)) for row in rows])

    def _read(self, row: Row, kind: str) -> Tensor:
        return read_picture(self.folder.picture(row["id"], kind))


def _measures(picture: Tensor, truth: Tensor, mask: Tensor) -> dict[str, Any]:
    """The measures of one stage that need no network."""
    sharpness, seam = sharpness_ratio(picture, mask), seam_ratio(picture, mask)
    return {**measure(picture, truth, mask), "sharpness": sharpness, "seam": seam}
