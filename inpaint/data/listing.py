"""Lists the picture files of folders."""

import json
import logging
import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import platformdirs

from inpaint.data.ids import digest
from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging.reading import SUFFIXES

log = logging.getLogger(__name__)


def pictures_under(folder: Path, pattern: str = "*", recursive: bool = True) -> list[str]:
    """The names of the pictures (by suffix, in any case) under a folder; none where it does not exist.

    Hidden files and folders are left out: archives made on a Mac add `._name.jpg`, which is no picture. Links are
    followed, each folder once.

    Args:
        pattern: which file names count, with * and ? (case matters).
        recursive: also lists the folders inside.

    Returns:
        Names relative to the folder, sorted, with "/" between folders.

    Raises:
        UserError: a folder may not be listed.
    """
    names: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse if folder.is_dir() else None):
        if (real := os.path.realpath(here)) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        names.extend(prefix + name for name in files if _is_picture(name) and fnmatchcase(name, pattern))
    return sorted(names)


def class_pictures(folder: Path) -> list[str]:
    """As `pictures_under` in the folders of a folder, one for each class; from the cached list while it holds."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            classes = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
    except OSError as error:
        _refuse(error)
    classes = [(name, changed) for name, changed in classes if not name.startswith(".")]

    def scan() -> list[str]:
        log.info("Listing the pictures of %s", folder)
        found = {name: pictures_under(folder / name, recursive=False) for name, _ in classes}
        return sorted(f"{name}/{picture}" for name, pictures in found.items() for picture in pictures)

    # The folders' times were read before their contents: a change in between is noticed next time.
    return cached_list(str(folder.resolve()), digest(repr(classes)), scan)


def cached_list(key: str, stamp: str, make: Callable[[], list[str]]) -> list[str]:
    """`make()`, kept in the user's cache folder under `key` for as long as `stamp` stays the same.

    A cache that cannot be read or written costs time only.
    """
    path = platformdirs.user_cache_path("neural-patch-synthesis") / f"index_{digest(key)[:16]}.json"
    try:
        cached = json.loads(path.read_text())
        if cached["key"] == key and cached["stamp"] == stamp:
            return [str(name) for name in cached["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    names = make()
    try:
        with atomic(path) as beside:
            beside.write_text(json.dumps({"key": key, "stamp": stamp, "names": names}))
    except UserError as error:
        log.info("The list of pictures is not cached: %s", error)
    return names


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from None
