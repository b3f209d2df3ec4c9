"""Measures that are taken on the pictures as they are written: by networks whose weights are given, and one's own."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inpaint.errors import UserError, first_line
from inpaint.evaluation.folder import ResultsFolder
from inpaint.evaluation.perceptual import discriminative_scores, frechet_distance, load_inception, load_lpips
from inpaint.evaluation.table import MEASURES, Row, stages_of
from inpaint.imaging.pixels import Mask, Picture

Measure = Callable[[Picture, Picture, Mask], float]
"""One's own: of a stage's picture, the truth, both [3, height, width] in [0, 1], and the mask [1, height, width], 1 in
the hole; NaN where it is undefined."""


class FileMeasures:
    """Takes them; `folder` holds the pictures. See `evaluation.results.Results` for the others, and for what is raised.

    Attributes:
        weight_files: by measure, the files that weights were read from.
    """

    def __init__(
        self,
        folder: ResultsFolder,
        lpips_weights: str | Path | None,
        lpips_vgg_weights: str | Path | None,
        fid_weights: str | Path | None,
        own: Mapping[str, Measure | None],
    ) -> None:
        self.folder = folder
        given = {"lpips": lpips_weights, "lpips_vgg": lpips_vgg_weights, "fid": fid_weights}
        self.weight_files = {name: Path(path) for name, path in given.items() if path is not None}
        networks = {"lpips": "alex", "lpips_vgg": "vgg"}
        files = self.weight_files
        self.lpips = {name: load_lpips(files[name], network) for name, network in networks.items() if name in files}
        self.inception = load_inception(files["fid"]) if "fid" in files else None
        self.own = {name: measure for name, measure in own.items() if measure is not None}
        for name, measure in self.own.items():
            if name in MEASURES or name in ("hole", "whole"):
                raise UserError(f"callbacks.results.measures.{name} has a name that is taken: give it another.")
            if not callable(measure):
                raise UserError(
                    f"callbacks.results.measures.{name} is {measure!r}, but must be a function of prediction, truth "
                    "and mask: give a _target_, and for a function _partial_: true."
                )

    def add_to(self, row: Row) -> Row:
        """The row with the measures of its picture."""
        if not self.lpips and not self.own:
            return row
        truth, mask = self.folder.read(row, "truth"), self.folder.read(row, "mask")[:1]
        result = dict(row)
        for stage in stages_of(row):
            picture = self.folder.read(row, stage)
            lpips = {name: measure(picture, truth) for name, measure in self.lpips.items()}
            own = {name: self._own(name, picture, truth, mask, row["id"]) for name in self.own}
            result[stage] = {**row[stage], "whole": {**row[stage]["whole"], **lpips}, **own}
        return result

    def _own(self, name: str, picture: Picture, truth: Picture, mask: Mask, picture_id: str) -> float:
        try:
            value: Any = self.own[name](picture, truth, mask)
        except Exception as error:  # whatever a function of somebody else meets
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"The measure {name} failed on picture {picture_id}: {reason}.") from error
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, Real):
            kind = type(value).__name__
            raise UserError(
                f"The measure {name} returned a {kind} for picture {picture_id}, but must return a number, or NaN "
                "where it is undefined."
            )
        return float(value)

    def of_set(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Compares the stages' pictures, as a set, with the true ones.

        By stage, `fid`, `p_ids` and `u_ids`; empty if that is not asked for.
        """
        if (inception := self.inception) is None:
            return {}

        def features(kind: str) -> Tensor:
            return torch.stack([inception(self.folder.read(row, kind)) for row in rows])

        truth, result = features("truth"), {}
        for stage in stages_of(rows[0]):
            filled = features(stage)
            paired, unpaired = discriminative_scores(filled, truth)
            result[stage] = {"fid": frechet_distance(filled, truth), "p_ids": paired, "u_ids": unpaired}
        return result
