"""Finds what another program made of pictures, and refuses what cannot be that."""

import os
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path

from inpaint.errors import UserError, first_of
from inpaint.imaging.reading import SUFFIXES, upright_size


def find_results(root: Path, names: Mapping[str, str], pictures: Path) -> dict[str, Path]:
    """Finds what another program made of each picture; those of which it made nothing are left out.

    For sub/a.jpg, whose id is sub__a, that is sub/a_filled (as `python -m inpaint.fill` writes it beside a photo),
    sub/a.jpg, sub/a, the same of sub__a, or of a without its folder, or pictures/sub__a/refined (as in a results folder
    of ours), in this order; but for sub/a.jpg, in any picture format. A picture itself, under whatever path, is no
    result.

    Args:
        root: the folder of the results.
        names: of the pictures, with "/" between folders, by their ids.
        pictures: the folder of the pictures.

    Raises:
        UserError: a result could be any of several files, or one file that of two pictures.
    """
    originals = {identity(pictures / name) for name in names.values()} - {None}
    results_in = cache(partial(results_by_stem, root, originals))
    found: dict[str, Path] = {}
    for key, name in names.items():
        for wanted in candidates(key, name):
            folder, base = os.path.split(wanted)
            files = results_in(folder)
            if wanted == name and base in files.get(os.path.splitext(base)[0], []):
                found[key] = root / name
            elif len(same := files.get(base, [])) > 1:
                raise UserError(
                    f"{' and '.join(same)} in {root / folder} could each be the result of {name}: keep one."
                )
            elif same:
                found[key] = root / folder / same[0]
            if key in found:
                break
    pictures_of: dict[Path, list[str]] = {}
    for key, path in found.items():
        pictures_of.setdefault(path, []).append(names[key])
    for path, several in pictures_of.items():
        if len(several) > 1:
            raise UserError(f"{path} would be the result of {' and of '.join(several)}: name results after the ids.")
    return found


def refuse_missing(missing: Iterable[str], names: Mapping[str, str], root: Path) -> None:
    """Raises a UserError that names the pictures, by these ids, which have no result; does nothing without."""
    if keys := [*missing]:
        name = names[keys[0]]
        looked = ", ".join(f"{wanted}.png" for wanted in candidates(keys[0], name) if wanted != name)
        raise UserError(
            f"{len(keys)} of the {len(names)} test pictures have no result in {root}: "
            f"{first_of([names[key] for key in keys])}. For the first, these were looked for, in any picture format: "
            f"{looked}. The picture itself does not count as a result."
        )


def candidates(key: str, name: str) -> list[str]:
    """What the result of a picture may be called: its own name, and all others without their suffix."""
    stem = os.path.splitext(name)[0]
    plain = [stem, key, os.path.basename(stem)]
    filled = [f"{one}_filled" for one in plain]
    return [*dict.fromkeys([*filled, name, *plain, f"pictures/{key}/refined"])]


def results_by_stem(root: Path, originals: set[tuple[int, int] | None], folder: str) -> dict[str, list[str]]:
    """The names of the pictures in a folder below `root`, by their names without suffix; none if there is no folder.

    Args:
        originals: the identities of files that do not count.
    """
    found: dict[str, list[str]] = {}
    path = root / folder
    for name in sorted(os.listdir(path)) if path.is_dir() else []:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in SUFFIXES and not name.startswith(".") and identity(path / name) not in originals:
            found.setdefault(stem, []).append(name)
    return found


def identity(path: Path) -> tuple[int, int] | None:
    """What two paths of one file have in common, links included; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_size(result: Path, original: Path, size: int) -> None:
    """Raises a UserError that names a result which has neither the test's size nor that of its picture's file."""
    own = upright_size(result)
    if own == (size, size):
        return
    try:
        whole = upright_size(original)
    except UserError:  # such pictures are skipped
        return
    if own != whole:
        raise UserError(
            f"{result} is {own[1]} x {own[0]} pixels, but the test is at {size} x {size}, and {original} is {whole[1]} "
            f"x {whole[0]}: a result must have either size."
        )
