from pathlib import Path

import psutil
import pytest

from inpaint.errors import UserError
from inpaint.web import room
from inpaint.web.room import FULL, RESERVE, Busy, check_disk, free_memory
from tests.web.helpers import png

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of which 8 GiB are available, and a function that writes its files."""

    class Memory:
        available = 8 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return write


def second(group, most, used, spare=0):
    """A group's files, in the second version of Linux's control groups."""
    at = Path("sys/fs/cgroup") / group
    return {at / "memory.max": most, at / "memory.current": used, at / "memory.stat": f"anon 5\ninactive_file {spare}"}


def first(group, most, used, spare=0):
    """The same in the first version."""
    at = Path("sys/fs/cgroup/memory") / group
    return {
        at / "memory.limit_in_bytes": most,
        at / "memory.usage_in_bytes": used,
        at / "memory.stat": f"cache 5\ntotal_inactive_file {spare}",
    }


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("0::/", {}, 8),
        ("0::/", second("", 4 * GIB, GIB), 3),
        ("0::/", second("", 4 * GIB, 4 * GIB, GIB), 1),  # what files keep there is given up where it is needed
        ("0::/", second("", "max", GIB), 8),
        ("0::/", second("", 40 * GIB, GIB), 8),
        ("0::/", second("", GIB, 2 * GIB), 0),
        ("0::/a/b", second("a/b", "max", GIB) | second("a", 3 * GIB, GIB), 2),  # of the group around it
        ("0::/a/b", second("a/b", 2 * GIB, GIB) | second("a", 3 * GIB, GIB), 1),
        ("9:cpu:/\n4:memory:/a\n0::/", first("a", 3 * GIB, GIB), 2),
        ("4:memory:/outside/a\n0::/", first("", 3 * GIB, 2 * GIB), 1),  # in a container, which sees its own alone
        ("4:memory:/", first("", 9223372036854771712, GIB), 8),
    ],
)
def test_memory_of_groups_of_processes(machine, groups, files, free):
    assert free_memory(machine({"proc/self/cgroup": groups} | files)) == free * GIB


def test_memory_where_there_are_no_groups(machine, tmp_path):
    assert free_memory(machine({})) == 8 * GIB


def test_a_photo_fits_by_what_is_free(tmp_path, monkeypatch):
    (tmp_path / "photo.png").write_bytes(png())
    monkeypatch.setattr(room, "free_memory", lambda: 2 * GIB)
    room.check_memory(tmp_path / "photo.png", 100_000)
    monkeypatch.setattr(room, "free_memory", lambda: GIB)
    with pytest.raises(UserError, match=r"about 1\.0 GiB of memory are needed, and 1\.0 are free"):
        room.check_memory(tmp_path / "photo.png", 100_000)


def test_some_of_the_disk_stays_free(tmp_path, monkeypatch):
    class Usage:
        free = RESERVE + 100

    monkeypatch.setattr(psutil, "disk_usage", lambda _: Usage)
    check_disk(tmp_path, 100)
    with pytest.raises(Busy, match=f"^{FULL}$"):
        check_disk(tmp_path, 101)
