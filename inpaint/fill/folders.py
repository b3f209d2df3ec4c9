"""Says what of a folder of photos is left out."""

import os
from collections.abc import Collection
from contextlib import suppress
from itertools import islice
from pathlib import Path

from inpaint.data.listing import files_under, is_picture
from inpaint.errors import SHOWN, first_of

LOOKED_AT = 20_000  # files and folders, at most, that are looked at to count the pictures that are left out


def left_out(folder: Path, recursive: bool, besides: Collection[str]) -> str:
    """What is not taken of a folder of photos, in a line for a person: files that are no pictures, folders of pictures.

    Only the first few are named; nothing hidden is.

    Args:
        besides: real paths of folders that are not looked into, nor named.

    Returns:
        An empty string if all is taken.
    """
    others = sorted(name for name in files_under(folder, recursive, besides) if not is_picture(name))
    parts = [first_of(others, "files")] if others else []
    if not recursive:
        with os.scandir(folder) as entries:
            inside = [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
        parts += folders_left_out(folder, [n for n in sorted(inside) if os.path.realpath(folder / n) not in besides])
    return f"Left out: {', '.join(parts)}" if parts else ""


def folders_left_out(folder: Path, names: list[str]) -> list[str]:
    """The first few folders that hold pictures, with their number, and how many more folders there are."""
    parts: list[str] = []
    looked = 0
    for number, name in enumerate(names):
        if len(parts) == SHOWN or looked >= LOOKED_AT:
            return [*parts, f"{len(names) - number} more folder(s)"]
        pictures, all_looked = count_pictures(folder / name, LOOKED_AT - looked)
        looked += all_looked
        if pictures or looked >= LOOKED_AT:
            count = f"{pictures} picture{'s'[: pictures != 1]}{' or more' if looked >= LOOKED_AT else ''}"
            parts.append(f"{name}/ ({count}: --recursive takes {'it' if count == '1 picture' else 'them'})")
    return parts


def count_pictures(folder: Path, most: int) -> tuple[int, int]:
    """How many pictures lie under a folder, and how many files and folders were looked at to count: `most` at most."""
    pictures = looked = 0
    waiting = [str(folder)]
    while waiting and looked < most:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:  # what cannot be read is told when it is taken
            for entry in islice(entries, most - looked):
                looked += 1
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    pictures += is_picture(entry.name)
    return pictures, looked
