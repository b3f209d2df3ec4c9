"""Writes the comparison of a sweep's jobs as paragraphs of Markdown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from inpaint.evaluation.statistics import FEWEST, Interval
from inpaint.evaluation.table import MEASURES, in_order

LEFT_OUT = ("whole_l1", "whole_l2", "whole_psnr", "whole_ssim")  # summary.json has them: pages are narrow


def page(summary: Mapping[str, Any]) -> list[str]:
    """The paragraphs and tables of summary.md, but for the jobs that have no results; see `comparison.compare`."""
    rows = summary["rows"]
    names = in_order(name for row in rows for name in row["measures"] if name not in LEFT_OUT)
    headings = ["", *(MEASURES.get(name, name) for name in names)]
    parts = []
    if rows:
        features = list(dict.fromkeys(row["features"] for row in rows if row["features"]))
        intervals = f"with 95 % intervals where there are at least {FEWEST} pictures"
        parts.append(f"Means over the pictures ({summary['pictures']} in every job), {intervals}.")
        if len(features) == 1:
            parts.append(f"The features that were matched are those of {features[0]}.")
        more = {"features": [row["features"] or "" for row in rows]} if len(features) > 1 else {}
        timed = ("" if row["seconds"] is None else f"{row['seconds']:.1f}" for row in rows)
        more["seconds a picture, both stages"] = [*timed]
        lines = ([row["label"], *_cells(names, row["measures"])] for row in rows)
        parts.append(
            _table([*headings, *more], ([*line, *end] for line, *end in zip(lines, *more.values(), strict=True)))
        )
    different = [row for row in rows if row["reference"] != row["label"] and row["differences"]]
    if different:
        parts.append(
            "Differences, picture by picture: the pictures bear out one whose interval excludes 0, in bold; by chance "
            "alone, one in twenty is so."
        )
    for reference in dict.fromkeys(row["reference"] for row in different):
        compared = [row for row in different if row["reference"] == reference]
        lines = ([row["label"], *_cells(names, row["differences"], "+")] for row in compared)
        parts += [f"Compared with **{reference}**:", _table(headings, lines)]
    for area in sorted({area for row in rows for area in row["by_area"]}, key=lambda area: int(area.split()[0])):
        members = [(row["label"], row["by_area"][area]) for row in rows if area in row["by_area"]]
        counts = sorted({part["pictures"] for _, part in members})
        pictures = f"{counts[0]} pictures" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} pictures"
        parts.append(f"Holes of {area} of the picture ({pictures}):")
        parts.append(_table(headings, ([label, *_cells(names, part["measures"])] for label, part in members)))
    if summary["shown"]:
        parts.append(f"Shown: {', '.join(summary['shown'])}.")
    return parts


def _cells(names: Iterable[str], intervals: Mapping[str, Mapping[str, float | None]], sign: str = "") -> Iterator[str]:
    """Each measure's mean with its interval; nothing where it is not defined. A difference with a sign may be bold."""
    for name in names:
        mean, low, high = intervals.get(name, dict.fromkeys(Interval._fields)).values()
        cell, *bounds = ("" if number is None else f"{number:{sign}.3f}" for number in (mean, low, high))
        if bounds[0] != bounds[1]:
            cell += f" ({bounds[0]} to {bounds[1]})"
        clear = sign and low is not None and high is not None and (low > 0 or high < 0)
        yield f"**{cell}**" if clear else cell


def _table(headings: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
