"""The columns of a comparison: which pictures of a sweep's jobs stand beside each other, and how they are drawn."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.sweep_jobs import SweepJob
from inpaint.evaluation.table import HEADINGS, STAGES
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Picture, middle
from inpaint.imaging.reading import read_picture

WIDEST = 8  # columns in one band of the picture, beyond which it is wrapped


class Column(NamedTuple):
    """One kind of picture of one job. Those of the two stages are rows of the table of numbers as well."""

    label: str
    job: SweepJob
    kind: str

    def picture(self, picture_id: str) -> Picture:
        return read_picture(self.job.results.picture(picture_id, self.kind))

    @property
    def measures(self) -> list[str]:
        """The names of the measures that this stage has in metrics.csv."""
        names = dict.fromkeys(name for row in self.job.rows.values() for name in row)
        return [name.removeprefix(f"{self.kind}_") for name in names if name.startswith(f"{self.kind}_")]

    def measure(self, name: str) -> dict[str, float]:
        """One measure of a stage, by picture; empty if it was not taken."""
        key = f"{self.kind}_{name}"
        return {picture_id: row[key] for picture_id, row in self.job.rows.items() if key in row}


def make_columns(jobs: Sequence[SweepJob], ids: Sequence[str]) -> list[Column]:
    """Makes the columns: inputs, then job by job what its stages gave (`stage_columns`), then truths.

    Where several jobs have the same input or truth in all these pictures, only the first of them has that column.
    """

    def columns(kind: str) -> list[Column]:
        found = _firsts(jobs, kind, ids)
        return [Column(HEADINGS[kind] if len(found) == 1 else f"{j.label}: {HEADINGS[kind]}", j, kind) for j in found]

    return [*columns("input"), *stage_columns(jobs, ids), *columns("truth")]


def stage_columns(jobs: Sequence[SweepJob], ids: Sequence[str]) -> list[Column]:
    """Job by job what its stages gave.

    Where several jobs have the same content network's prediction in all these pictures, only the first of them has that
    column; what is refined always has one.
    """
    predicting = _firsts([job for job in jobs if job.has_stage("content")], "content", ids)
    columns = []
    for job in jobs:
        both = job.has_stage("content") and len(predicting) > 1
        if job in predicting:
            name = f"{job.label}: {HEADINGS['content']}" if both else HEADINGS["content"]
            columns.append(Column(name, job, "content"))
        if job.has_stage("refined"):
            name = f"{job.label}: {HEADINGS['refined']}" if both else job.label
            columns.append(Column(name if len(jobs) > 1 else HEADINGS["refined"], job, "refined"))
    return columns


def _firsts(jobs: Sequence[SweepJob], kind: str, ids: Sequence[str]) -> list[SweepJob]:
    """The jobs without those whose pictures of this kind an earlier one has as well."""
    found: dict[str, SweepJob] = {}
    for job in jobs:
        found.setdefault(_digest(job, kind, ids), job)
    return list(found.values())


def same_hole(jobs: Iterable[SweepJob], ids: Sequence[str]) -> dict[str, str]:
    """By each job's number a key that jobs share whose masks and true pictures are the same.

    Where a job of an older version kept no masks, what the networks were shown has to be the same.
    """
    kind = "mask" if all(job.results.picture(i, "mask").is_file() for job in jobs for i in ids) else "input"
    return {job.number: _digest(job, kind, ids) + _digest(job, "truth", ids) for job in jobs}


def _digest(job: SweepJob, kind: str, ids: Sequence[str]) -> str:
    """Hashes these pictures of a job: equal for two jobs that have the same, and have some."""
    digest = hashlib.sha256(b"" if ids else bytes(job.results.path))
    for picture_id in ids:
        digest.update(job.results.picture(picture_id, kind).read_bytes())
    return digest.hexdigest()


def figure(columns: Sequence[Column], ids: Sequence[str], closeups: bool) -> Float[Tensor, "3 height width"]:
    """Draws one row a picture, and below it one of its close-ups if they are wanted.

    More than `WIDEST` columns are wrapped: each picture has several bands, one below the other, all of which begin with
    what was shown to their jobs, and end with the truth.
    """
    bands = _bands(columns, ids)

    def rows(band: Sequence[Column], picture_id: str) -> list[list[Picture]]:
        pictures = [column.picture(picture_id) for column in band]
        return [pictures, [_closeup(column, picture_id) for column in band]] if closeups else [pictures]

    parts = [[picture_id] for picture_id in ids] if len(bands) > 1 else [ids]
    drawn = [
        gallery([row for picture_id in part for row in rows(band, picture_id)], [column.label for column in band])
        for part in parts
        for band in bands
    ]
    width = max(part.shape[-1] for part in drawn)
    white = [part.new_ones(3, part.shape[1], width - part.shape[2]) for part in drawn]
    return torch.cat([torch.cat(both, 2) for both in zip(drawn, white, strict=True)], 1)


def _bands(columns: Sequence[Column], ids: Sequence[str]) -> list[list[Column]]:
    """Divides the columns into as few bands of about equally many stages as have at most `WIDEST` columns each."""
    stages = [column for column in columns if column.kind in STAGES]

    def of_stages(kind: str) -> list[Column]:
        found = {_digest(column.job, kind, ids): column for column in columns if column.kind == kind}
        return [found[_digest(stage.job, kind, ids)] for stage in stages]

    inputs, truths = of_stages("input"), of_stages("truth")

    def band(part: slice) -> list[Column]:
        first, last = ({end.job.number: end for end in ends[part]}.values() for ends in (inputs, truths))
        return [*first, *stages[part], *last]

    for count in range(1, len(stages) + 1):
        cuts = [len(stages) * i // count for i in range(count + 1)]
        bands = [band(slice(*cut)) for cut in pairwise(cuts)]
        if all(len(found) <= WIDEST for found in bands):
            break
    return bands


def _closeup(column: Column, picture_id: str) -> Picture:
    """The middle half of the bounding box of its own job's hole: of where input and truth differ, if they do."""
    kinds = (column.kind, "input", "truth")
    picture, masked, truth = (column._replace(kind=kind).picture(picture_id) for kind in kinds)
    hole = (masked != truth).any(0)
    return middle(Box.around(hole).of(picture) if hole.any() else picture)
