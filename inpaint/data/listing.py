"""Lists the picture files of folders, and gives each an id: a name for its results."""

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import numpy as np
import platformdirs

from inpaint.errors import UserError
from inpaint.files import atomic
from inpaint.imaging.reading import SUFFIXES

log = logging.getLogger(__name__)


class Names:
    """Names of files, by number, in one flat array.

    Of a million Python strings each worker process would soon hold a copy: touching one changes its reference count,
    and so its page of memory.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = np.array([os.fsencode(name) for name in names], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self._names[index])

    def __iter__(self) -> Iterator[str]:
        return map(os.fsdecode, self._names)


def pictures_under(
    folder: Path, pattern: str = "*", recursive: bool = True, besides: Collection[str] = ()
) -> list[str]:
    """The names of the pictures (by suffix, in any case) under a folder, sorted; as `files_under`.

    Args:
        pattern: which file names count, with * and ? (case matters).
    """
    names = files_under(folder, recursive, besides)
    return sorted(name for name in names if is_picture(name) and fnmatchcase(name.rpartition("/")[2], pattern))


def files_under(folder: Path, recursive: bool = True, besides: Collection[str] = ()) -> Iterator[str]:
    """Yields the names of the files under a folder: relative to it, "/" between folders.

    Hidden files and folders are left out: archives made on a Mac add `._name.jpg`, which is no picture. Links are
    followed, each folder once. A folder that does not exist holds none.

    Args:
        recursive: also lists the folders inside.
        besides: real paths of folders that are not listed.

    Raises:
        UserError: a folder may not be listed.
    """
    seen = set(besides)
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse if folder.is_dir() else None):
        if (real := os.path.realpath(here)) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        yield from (prefix + name for name in files if not name.startswith("."))


def class_pictures(folder: Path) -> list[str]:
    """As `pictures_under` in the folders of a folder, one for each class.

    The list is kept in the user's cache folder until a class folder changes; without a cache it only takes longer.
    """
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
            classes = sorted((entry.name, entry.stat().st_mtime_ns) for entry in seen)
    except OSError as error:
        _refuse(error)
    # The folders' times were read before their contents: a change in between is noticed next time.
    state = {"key": str(folder.resolve()), "stamp": digest(repr((SUFFIXES, classes)))}
    path = platformdirs.user_cache_path("neural-patch-synthesis") / f"index_{digest(state['key'])[:16]}.json"
    try:
        cached = json.loads(path.read_text())
        if cached | state == cached:
            return [str(name) for name in cached["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    log.info("Listing the pictures of %s", folder)
    names = sorted(f"{name}/{one}" for name, _ in classes for one in pictures_under(folder / name, recursive=False))
    try:
        with atomic(path) as beside:
            beside.write_text(json.dumps(state | {"names": names}))
    except UserError as error:
        log.info("The list of pictures is not cached: %s", error)
    return names


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's does."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from None


def picture_id(name: str) -> str:
    """A file's relative name without its suffix, with "__" between folders and "_" for what file systems refuse."""
    safe = re.sub(r"[^\w.-]", "_", os.path.splitext(name)[0].replace("/", "__"))
    # File systems take 255 bytes; a character takes up to four.
    return safe if len(safe.encode()) <= 120 else f"{safe.encode()[:100].decode(errors='ignore')}-{digest(name)[:8]}"


def picture_ids(names: Sequence[str]) -> list[str]:
    """The ids of all files of a data set; those that differ in suffix or case only are told apart by a short hash."""
    ids = [picture_id(name) for name in names]
    uses = Counter(one.casefold() for one in ids)
    return [
        one if uses[one.casefold()] == 1 else f"{one}-{digest(name)[:8]}" for one, name in zip(ids, names, strict=True)
    ]


def digest(text: str) -> str:
    """SHA-256 in hexadecimal digits: the same in every process, also of a file name that is no proper text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()
