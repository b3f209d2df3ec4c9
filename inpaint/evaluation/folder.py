"""The results folder of a run: where each of its files lies, how they are written, and how they are read again."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inpaint.evaluation.gallery import gallery
from inpaint.evaluation.table import Row, flatten_keys, for_json, kinds_of
from inpaint.files import atomic
from inpaint.imaging.pixels import Picture
from inpaint.imaging.reading import read_picture, write_picture


class ResultsFolder(NamedTuple):
    """The files below `path`; `Results` says what they hold. Methods raise a UserError where a file cannot be used."""

    path: Path

    def picture(self, picture_id: str, kind: str) -> Path:
        return self.path / "pictures" / picture_id / f"{kind}.png"

    def has_pictures(self, row: Row) -> bool:
        """Whether every picture of this row is there."""
        return all(self.picture(row["id"], kind).is_file() for kind in (*kinds_of(row), "mask"))

    def read(self, row: Row, kind: str) -> Picture:
        """Reads one picture of a row."""
        return read_picture(self.picture(row["id"], kind))

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Writes metrics.csv."""
        lines = [flatten_keys(row) for row in rows]
        with atomic(self.path / "metrics.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
            writer.writeheader()
            for line in lines:
                writer.writerow({key: v if isinstance(v, str) else f"{v:.6g}" for key, v in line.items()})

    def read_rows(self) -> dict[str, dict[str, float]]:
        """Reads metrics.csv: measures by picture and by name (`refined_hole_l1`); none while there is no such file."""
        path = self.path / "metrics.csv"
        if not path.is_file():
            return {}
        with path.open(newline="", encoding="utf-8") as file:
            return {row.pop("id"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)}

    def write_means(self, means: Mapping[str, Any]) -> None:
        """Writes metrics.json."""
        with atomic(self.path / "metrics.json") as path:
            path.write_text(json.dumps(for_json(means), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def read_means(self) -> dict[str, Any]:
        """Reads metrics.json; empty while there is no such file."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def write_gallery(self, rows: Sequence[Row], headings: Mapping[str, str]) -> None:
        """Writes gallery.png: the pictures of these rows, each kind under its heading."""
        kinds = kinds_of(rows[0])
        pictures = [[self.read(row, kind) for kind in kinds] for row in rows]
        write_picture(gallery(pictures, [headings[kind] for kind in kinds]), self.path / "gallery.png")
