"""The ids of pictures: their names, made safe as file names and unique in a data set."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence


def picture_id(name: str) -> str:
    """A file's relative name without its suffix, with "__" between folders and "_" for what file systems refuse."""
    stem = name[: -len(suffix)] if (suffix := os.path.splitext(name)[1]) else name
    safe = re.sub(r"[^\w.-]", "_", stem.replace("/", "__"))
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
