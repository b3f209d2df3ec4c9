"""Lists the picture files of folders."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, NoReturn

import platformdirs

from inpaint.errors import UserError
from inpaint.files import atomic

log = logging.getLogger(__name__)
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class Files(NamedTuple):
    """Pictures on disk: a folder, and their names relative to it, sorted, with "/" between folders."""

    root: Path
    names: list[str]


def pictures_under(folder: Path, pattern: str = "*") -> Files:
    """All pictures (by suffix, in any case) anywhere under a folder; none where it does not exist.

    Hidden files and folders are left out: archives made on a Mac add `._name.jpg`, which is no picture.
    """
    names: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse if folder.is_dir() else None):
        if (real := os.path.realpath(here)) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        names.extend(prefix + name for name in files if _is_picture(name) and fnmatchcase(name, pattern))
    return Files(folder, sorted(names))


def class_pictures(folder: Path) -> Files:
    """All pictures in the class folders (one level) of a folder, from the cached list while it holds."""
    if not folder.is_dir():
        return Files(folder, [])
    try:
        with os.scandir(folder) as entries:
            classes = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
    except OSError as error:
        _refuse(error)
    classes = [(name, changed) for name, changed in classes if not name.startswith(".")]

    def scan() -> list[str]:
        log.info("Listing the pictures of %s", folder)
        names: list[str] = []
        for name, _ in classes:
            try:
                with os.scandir(folder / name) as entries:
                    names.extend(f"{name}/{entry.name}" for entry in entries if _is_picture(entry.name))
            except OSError as error:
                _refuse(error)
        return sorted(names)

    # The folders' times were read before their contents: a change in between is noticed next time.
    return Files(folder, cached_list(str(folder.resolve()), _digest(repr(classes)), scan))


def cached_list(key: str, stamp: str, make: Callable[[], list[str]]) -> list[str]:
    """`make()`, kept in the user's cache folder under `key` for as long as `stamp` stays the same.

    A cache that cannot be read or written costs time only.
    """
    path = platformdirs.user_cache_path("neural-patch-synthesis") / f"index_{_digest(key)[:16]}.json"
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


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from None
