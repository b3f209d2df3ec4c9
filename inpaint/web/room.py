"""Whether there is room for what is asked for, in memory and on the disk."""

import math
from contextlib import suppress
from pathlib import Path

import psutil

from inpaint.errors import UserError
from inpaint.imaging.reading import opened
from inpaint.photo.canvas import Margins

FULL = "The server's disk is full: try again in a while."
RESERVE = 2**28  # bytes of the disk that stay free
BYTES_A_VALUE, BYTES_A_PIXEL = 5, 24  # of memory that a fill takes: for each channel's bytes, and beside them
FOR_WINDOWS = 2**30  # bytes: for windows of up to --max-side pixels

# where Linux tells of a group of processes, as containers are: the group's line begins so in /proc/self/cgroup, its
# folder is there; what it may use, what it uses, and what of that the system would give up at once
GROUPS = (
    ("0::", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (":memory:", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class Busy(UserError):
    """There is no room now, for another fill, page or file; there may be in a while."""


def check_disk(folder: Path, needed: int) -> None:
    """Raises `Busy` if so many bytes do not fit on a folder's disk."""
    if psutil.disk_usage(str(folder)).free < needed + RESERVE:
        raise Busy(FULL)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still use: of the machine's, and of those that its groups may use together.

    Args:
        root: where /proc and /sys are.
    """
    free: float = psutil.virtual_memory().available
    with suppress(OSError):  # not Linux
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        for begins, folder, *names in GROUPS:
            for line in lines:
                if begins in line:
                    group = root / folder / line.split(":", 2)[2].lstrip("/")
                    above = [path for path in group.parents if path.is_relative_to(root / folder)]
                    free = min(free, *(left_in(path, *names) for path in (group, *above)))
    return max(0, int(free))


def left_in(group: Path, most: str, used: str, spare: str) -> float:
    """Bytes that a group of processes may still use; infinitely many if nothing bounds them, or nothing says so."""
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int((group / most).read_text()) - int((group / used).read_text()) + int(stat[spare])
    except (OSError, ValueError, KeyError):  # no such group here; "max"
        return math.inf


def check_memory(path: Path, max_pixels: int, margins: Margins | None = None) -> None:
    """Raises a UserError if a photo, on its larger canvas if there are margins, would not fit into memory.

    That goes by its header: no pixel is read.
    """
    with opened(path, max_pixels) as image:
        size = (image.height, image.width)
        pixels = math.prod(size if margins is None else margins.canvas(size, max_pixels))
        values = (4 if image.mode == "P" else len(image.getbands())) * (
            2 if image.format in ("PNG", "TIFF", "PPM") else 1
        )  # they may have 16 bits
        needed, free = pixels * (BYTES_A_PIXEL + BYTES_A_VALUE * values) + FOR_WINDOWS, free_memory()
        if needed > free:
            raise UserError(
                f"{path} has {image.width} x {image.height} pixels, for which about {needed / 2**30:.1f} GiB of memory "
                f"are needed, and {free / 2**30:.1f} are free: make it smaller, or try again when more is free."
            )
