"""The Lightning callback that measures each filled test picture and saves it to the results folder."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from inpaint.errors import UserError
from inpaint.evaluation import table
from inpaint.evaluation.folder import ResultsFolder
from inpaint.evaluation.measures import FileMeasures, Measure
from inpaint.evaluation.metrics import hole_area, measure, seam_ratio, sharpness_ratio
from inpaint.evaluation.perceptual import perceptual_distance
from inpaint.evaluation.resume import MeasuredRows, evaluation_key
from inpaint.evaluation.table import HEADINGS, Row, flatten_keys, kinds_of, stages_of
from inpaint.imaging.reading import write_picture
from inpaint.runs.processes import gather
from inpaint.vgg import load_vgg


class Results(pl.Callback):
    """Measures and keeps every picture of a test run, and writes the results folder.

    The test step returns `{"id": list[str], "input", "content", "refined", "truth": [B,3,H,W], "mask": [B,1,H,W],
    "seconds": list[float]}`; `content` or `refined` may be absent, and is then absent from every result. A step that
    returns neither has no results. `"headings": {"refined": "telea"}` renames a column of the table and the gallery.
    Written into `folder`:

    - `pictures/<id>/{input,content,refined,truth,mask}.png`, at once; the mask is white in the hole;
    - `metrics.csv`: one row a picture, sorted by id, each id once, however many processes took part; `area` is the
      hole's share of the picture in percent;
    - `metrics.json`: `{"name", "features", "pictures", "area", "content": {"hole": {"l1", "l2", "psnr", "ssim"},
      "whole": {...}, "perceptual", "sharpness", "seam"}, "refined": {same}, "seconds_per_picture", "confidence",
      "intervals", "by_area"}`: means over the pictures. A sharpness or seam that is undefined for a picture is left out
      of its mean, and so are seconds that nobody knows (NaN); a mean that is not finite (the PSNR of identical
      pictures) is `null`. `intervals` has, in the place
      of each mean, `{"low", "high", "pictures"}`: its 95 % interval (`mean_interval`), `null` below six pictures, and
      how many pictures it is of. `features` names the network whose features were matched, if any were
      (`pl_module.features_name`). `by_area`, which is there if the holes fall into more than one class, holds the same
      of each class, but for what is of the whole set: `{"0 to 10 %": {"pictures", ...}, "10 to 20 %": ...}`;
    - `gallery.png`: the first `gallery_rows` pictures.

    The loggers get the means as `test/content/hole_psnr`, `test/refined/hole_psnr`, ..., and
    `test/seconds_per_picture`; W&B also a table of all pictures with their measures, `results`, and the `gallery`. A
    run that is interrupted leaves the files for what is done so far (with several processes, what the main one has),
    and logs nothing. Another run in its folder, with the same weights and settings, goes on with the pictures that are
    left, if its data module can leave out those that it has `finished`. LPIPS, FID, P-IDS, U-IDS and one's own
    measures are taken on the pictures as they are written: each may be added, changed or dropped then.

    Args:
        folder: where all of it goes.
        name: of the experiment, in the table's title.
        gallery_rows: how many pictures the gallery shows.
        settings: all that the results depend on besides the weights, as text; runs that differ in it share nothing.
        lpips_weights: the file of AlexNet's weights, or None; with it, `whole` also has `lpips` (`load_lpips`).
        lpips_vgg_weights: the file of VGG-16's weights, or None; with it, `whole` also has `lpips_vgg`.
        fid_weights: the file of Inception's weights, or None; with it, each stage has `fid`, `p_ids` and `u_ids`,
            between its pictures and the true ones (`frechet_distance`, `discriminative_scores`): one number for the
            whole set, with no interval.
        measures: one's own by name, functions of a stage's picture, the truth and the mask that return a number
            (`evaluation.measures.Measure`); each stage has them under these names. None: leaves one out.

    Raises:
        UserError: a file of weights, or the package that it needs, is missing; the processes of one run were given
            different folders; `gallery_rows` is below 1; one's own measure is no function, has a name that is taken,
            fails, or returns something else.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        gallery_rows: int,
        settings: str,
        lpips_weights: str | Path | None,
        lpips_vgg_weights: str | Path | None,
        fid_weights: str | Path | None,
        measures: Mapping[str, Measure | None],
    ) -> None:
        if not isinstance(gallery_rows, int) or gallery_rows < 1:
            raise UserError(f"callbacks.results.gallery_rows is {gallery_rows}, but must be a whole number above 0.")
        self.folder, self.name = ResultsFolder(Path(folder)), name
        self.gallery_rows, self.settings = gallery_rows, settings
        self.measures = FileMeasures(self.folder, lpips_weights, lpips_vgg_weights, fid_weights, measures)
        self.weight_files = self.measures.weight_files
        self.headings = HEADINGS
        self.features: str | None = None
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
        self.features = getattr(pl_module, "features_name", None)
        data: Any = getattr(trainer, "datamodule", None)
        read = getattr(data, "evaluation_state", "")  # of the files besides the pictures, such as masks
        key = evaluation_key(pl_module, f"{self.settings}, {trainer.precision}, {read}")
        self.measured = MeasuredRows(self.folder.path, key, trainer.global_rank)
        rows = self._finished_rows(data) if trainer.is_global_zero else []
        if finished := trainer.strategy.broadcast({row["id"] for row in rows}):
            data.finished = finished
        self.rows = [self.measures.add_to(row) for row in rows]

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
            write_picture((masks[i] > 0).expand(3, -1, -1), self.folder.picture(picture_id, "mask"))
            row: Row = {"id": picture_id, "area": hole_area(masks[i])}
            for stage in stages_of(pictures):
                sharpness, seam = (ratio(pictures[stage], masks[i]) for ratio in (sharpness_ratio, seam_ratio))
                errors = measure(pictures[stage], pictures["truth"], masks[i])
                perceptual = perceptual_distance(pictures[stage], pictures["truth"], masks[i], self.vgg)
                row[stage] = {**errors, "perceptual": perceptual, "sharpness": sharpness, "seam": seam}
            row["seconds"] = float(outputs["seconds"][i])
            self.measured.append(row)
            self.rows.append(self.measures.add_to(row))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rows = table.unique_rows(row for part in gather(self.rows) for row in part)
        if not rows or not trainer.is_global_zero:
            return
        means = self._write(rows)
        self.measured.replace([])
        self.rows = []  # from here on an error leaves nothing to be saved
        self._log(trainer, rows, means)
        Console().print(*table.printed_tables(means, self.headings))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rows and trainer.is_global_zero:
            self._write(table.unique_rows(self.rows))

    def _finished_rows(self, data: Any) -> list[Row]:
        """The rows of an earlier run of this evaluation whose pictures are there; all others are forgotten.

        So are rows without the area, which earlier versions did not measure.
        """
        measured = table.unique_rows(self.measured.read()) if hasattr(data, "finished") else []
        rows = [row for row in measured if "area" in row and self.folder.has_pictures(row)]
        if rows:
            print(f"Going on after {len(rows)} pictures that are done, in {self.folder.path}")
        elif self.measured.files():
            print(
                f"What {self.folder.path} has of an unfinished evaluation is of other weights, data or settings, of an "
                "older version, or damaged: starting anew"
            )
        self.measured.replace(rows)
        return rows

    def _write(self, rows: list[Row]) -> dict[str, Any]:
        """Writes the files for these rows; returns their means, those that are not finite included."""
        self.folder.write_rows(rows)
        features = {"features": self.features} if self.features else {}
        means: dict[str, Any] = {"name": self.name, **features, **table.mean_measures(rows)}
        for stage, of_set in self.measures.of_set(rows).items():
            means[stage] |= of_set
        named = {row["id"]: row for row in rows}
        classes = table.by_area({picture_id: row["area"] for picture_id, row in named.items()})
        if len(classes) > 1:
            means["by_area"] = {area: table.mean_measures([named[i] for i in ids]) for area, ids in classes.items()}
        self.folder.write_means(means)
        self.folder.write_gallery(rows[: self.gallery_rows], self.headings)
        return means

    def _log(self, trainer: pl.Trainer, rows: list[Row], means: Mapping[str, Any]) -> None:
        """Logs the means everywhere, but for those that are undefined, and the pictures to W&B."""
        stages = {f"test/{stage}/": flatten_keys(means[stage]) for stage in stages_of(means)}
        scalars = {stage + name: value for stage, values in stages.items() for name, value in values.items()}
        scalars["test/seconds_per_picture"] = means["seconds_per_picture"]
        scalars = {name: value for name, value in scalars.items() if not math.isnan(value)}
        kinds, measures = kinds_of(rows[0]), [name for name in flatten_keys(rows[0]) if name != "id"]
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
            if isinstance(logger, WandbLogger):
                import wandb  # a machine without it has no such logger

                lines = []
                for row in rows:
                    images = [wandb.Image(str(self.folder.picture(row["id"], kind))) for kind in kinds]
                    values = (flatten_keys(row)[name] for name in measures)
                    lines.append([row["id"], *images, *(None if math.isnan(value) else value for value in values)])
                logger.log_table("results", ["id", *kinds, *measures], lines, step=trainer.global_step)
                logger.log_image("gallery", [str(self.folder.path / "gallery.png")], step=trainer.global_step)
