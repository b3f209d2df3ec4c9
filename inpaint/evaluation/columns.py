"""The pictures of a sweep's jobs side by side: a column a job, but what is the same in several jobs only once."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.sweep_jobs import SweepJob
from inpaint.evaluation.table import HEADINGS, MEASURES, STAGES
from inpaint.imaging.pixels import middle
from inpaint.imaging.reading import read_picture


class Column(NamedTuple):
    """One kind of picture of one job. Those of the two stages are rows of the table of numbers as well."""

    label: str
    job: SweepJob
    kind: str

    def picture(self, picture_id: str) -> Float[Tensor, "3 height width"]:
        return read_picture(self.job.results.picture(picture_id, self.kind))

    def measure(self, name: str) -> dict[str, float]:
        """One measure of a stage, by picture."""
        return {picture_id: row[f"{self.kind}_{name}"] for picture_id, row in self.job.rows.items()}

    @property
    def measures(self) -> list[str]:
        """The names of the measures that there are."""
        return [name for name in MEASURES if any(f"{self.kind}_{name}" in row for row in self.job.rows.values())]


def make_columns(jobs: Sequence[SweepJob], ids: Sequence[str]) -> list[Column]:
    """Makes the columns: inputs, then job by job what its stages gave, then truths.

    Where several jobs have the same input, truth or content network's prediction in all these pictures, only the first
    of them has that column; what is refined always has one.
    """
    firsts: dict[str, list[SweepJob]] = {}
    for kind in HEADINGS:
        holders = [job for job in jobs if kind not in STAGES or job.has_stage(kind)]
        different = {job.digest(kind, ids): job for job in reversed(holders)}.values()
        firsts[kind] = holders if kind == "refined" else [job for job in holders if job in different]

    def column(job: SweepJob, kind: str) -> Column:
        if len(firsts[kind]) == 1:
            return Column(HEADINGS[kind], job, kind)
        both = job.has_stage("content") and len(firsts["content"]) > 1
        return Column(f"{job.label}: {HEADINGS[kind]}" if both or kind not in STAGES else job.label, job, kind)

    stages = [column(job, kind) for job in jobs for kind in STAGES if job in firsts[kind]]
    inputs, truths = ([column(job, kind) for job in firsts[kind]] for kind in ("input", "truth"))
    return [*inputs, *stages, *truths]


def figure(columns: Sequence[Column], ids: Sequence[str], closeups: bool) -> Float[Tensor, "3 height width"]:
    """Draws one row a picture, and below it one of its close-ups if they are wanted."""
    rows = []
    for picture_id in ids:
        rows.append([column.picture(picture_id) for column in columns])
        if closeups:
            rows.append([_closeup(column, picture_id) for column in columns])
    return gallery(rows, [column.label for column in columns])


def _closeup(column: Column, picture_id: str) -> Float[Tensor, "3 height width"]:
    """The middle half of the bounding box of its own job's hole: of where input and truth differ, if they do."""
    picture = column.picture(picture_id)
    masked, truth = (column._replace(kind=kind).picture(picture_id) for kind in ("input", "truth"))
    hole = (masked != truth).any(0).nonzero()
    if not len(hole):
        return middle(picture)
    (top, left), (bottom, right) = hole.amin(0).tolist(), (hole.amax(0) + 1).tolist()
    return middle(picture[:, top:bottom, left:right])
