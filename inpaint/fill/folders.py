"""Says by their names which pictures of a folder are photos, which mask belongs to each, and what is left out."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from inpaint.data.listing import files_under, is_picture
from inpaint.errors import UserError

MARKS = ("_mask", "-mask")  # what a mask's name may have behind its photo's
OF_CAMERAS = (  # formats of photos rather than of masks
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".heic", ".heif", ".hif", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
)
SHOWN = 5  # names of a kind, at most, of what is left out
LOOKED_AT = 20_000  # files and folders, at most, that are looked at to count the pictures that are left out


def stem_of(name: str) -> str:
    """A name without its suffix."""
    return os.path.splitext(name)[0]


def folded(name: str) -> str:
    """What counts of a name when it is compared: not upper or lower case, nor how accents are put together."""
    return unicodedata.normalize("NFC", name).casefold()


class Masks:
    """The pictures that may be masks, found by the names of photos; all names are relative, with "/" between folders.

    Args:
        folder: where they are, for sentences.
        names: of the masks.
        photos: the names of all photos.
        beside: whether the masks lie among the photos.
    """

    def __init__(self, folder: Path, names: Iterable[str], photos: Collection[str], beside: bool) -> None:
        self.folder = folder
        self.stems = {stem_of(photo) for photo in photos}
        self.no_masks = set(photos) if beside else set()
        self.by_stem: dict[str, list[str]] = {}
        for name in names:
            self.by_stem.setdefault(folded(stem_of(name)), []).append(name)

    def of(self, photo: str) -> Path:
        """The mask of a photo.

        For photo1.jpg that is photo1.jpg, photo1, photo1_mask, photo1-mask or photo1.jpg.png, in this order; but for
        the first, in any picture format, and, where there is none in the photo's own case, in any case.

        Raises:
            UserError: there is none, or it cannot be told which.
        """
        own, where = stem_of(photo), os.path.join(self.folder, "")
        wanted = [own, *(own + mark for mark in MARKS), photo]
        for stem in wanted:
            found = [name for name in self.by_stem.get(folded(stem), []) if self._may_be(name, own)]
            alike = [name for name in found if stem_of(name) == stem]
            found = [name for name in found if name == photo] or alike or found
            if len(found) > 1:
                raise UserError(f"{' and '.join(found)} in {where} could each be the mask of {photo}: rename one.")
            if found:
                return self.folder / found[0]
        looked = ", ".join(name for name in (f"{stem}.png" for stem in wanted) if name not in self.no_masks)
        raise UserError(
            f"no mask for {photo}: looked for {looked} in {where} (any picture format, upper or lower case)."
        )

    def _may_be(self, name: str, own: str) -> bool:
        """Whether a mask is not called exactly as another photo is."""
        return stem_of(name) == own or stem_of(name) not in self.stems


def masks_among(names: Collection[str]) -> set[str]:
    """Which pictures of a folder, where photos and masks lie side by side, are the masks of others.

    They are called as `Masks.of` says. Of two pictures with the same stem, though, either could be the mask of the
    other: the mask is what stands beside a format of cameras, unless there is a mask that is called so.
    """
    wholes = {folded(name): folded(stem_of(name)) for name in names}
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(folded(stem_of(name)), []).append(name)
    masks: set[str] = set()
    served: set[str] = set()  # stems of photos that have a mask which is called so
    for stem, group in by_stem.items():
        base = next((stem.removesuffix(mark) for mark in MARKS if stem.endswith(mark)), None)
        of = base if base in by_stem else wholes.get(stem)
        if of is not None:
            masks.update(group)
            served.add(of)
    for stem, group in by_stem.items():
        others = [name for name in group if not name.lower().endswith(OF_CAMERAS)]
        if stem not in served and len(others) < len(group):
            masks.update(others)
    return masks


def left_out(folder: Path, recursive: bool, besides: Collection[str]) -> str:
    """What is not taken of a folder of photos, in a line for a person: files that are no pictures, folders of pictures.

    Only the first few are named; nothing hidden is.

    Args:
        besides: real paths of folders that are not looked into, nor named.

    Returns:
        An empty string if all is taken.
    """
    parts = shortened(sorted(n for n in files_under(folder, recursive, besides) if not is_picture(n)), "files")
    if not recursive:
        with os.scandir(folder) as entries:
            inside = [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
        parts += folders_left_out(folder, [n for n in sorted(inside) if os.path.realpath(folder / n) not in besides])
    return f"Left out: {', '.join(parts)}" if parts else ""


def shortened(names: list[str], kind: str) -> list[str]:
    """The first few names, and how many more there are."""
    more = len(names) - SHOWN
    return names if more <= 1 else [*names[:SHOWN], f"{more} more {kind}"]


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
