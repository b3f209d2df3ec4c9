"""Says which mask belongs to which picture: by their names, or by a list."""

import csv
import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from inpaint.errors import UserError, first_line

MARKS = ("_mask", "-mask")  # what a mask's name may have behind its photo's
OF_CAMERAS = (  # formats of photos rather than of masks
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".heic", ".heif", ".hif", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
)


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


class Pair(NamedTuple):
    """A line of a list: a picture and its mask, as they are written there."""

    where: str  # what an error's sentence begins with: "list.csv, line 3: "
    picture: str
    mask: str


def listed_pairs(listing: Path) -> list[Pair]:
    """Reads a list, a CSV file with a line `photo,mask` for each picture; those words themselves may be the first line.

    Raises:
        UserError: the file is missing or no such list, or names no pictures.
    """
    pairs: list[Pair] = []
    try:
        with listing.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            for fields in lines:
                if not fields or (fields in (["photo", "mask"], ["picture", "mask"]) and not pairs):
                    continue
                where = f"{listing}, line {lines.line_num}: "
                if len(fields) != 2 or not all(fields) or "\0" in "".join(fields):
                    raise UserError(
                        f"{where}this is not photo,mask (a path that holds a comma or a quote is put in double quotes)."
                    )
                pairs.append(Pair(where, *fields))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{listing} cannot be read as a list of photo,mask: {first_line(error)}.") from None
    if not pairs:
        raise UserError(f"{listing} names no photos: give it a line photo,mask for each.")
    return pairs
