import os
import stat

import pytest

from inpaint.errors import UserError
from inpaint.files import atomic, fitting


def write(path, text="new"):
    with atomic(path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("suffix", [".png", "." + "s" * 200])
def test_the_longest_name_can_be_written(tmp_path, suffix):
    path = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    write(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="could not be written: File name too long"):
        write(tmp_path / f"n{path.name}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o640])
def test_a_replaced_file_keeps_its_mode_and_a_new_one_has_the_usual_one(tmp_path, mode):
    before = os.umask(0o022)
    try:
        write(tmp_path / "new")
        (tmp_path / "old").write_text("old")
        (tmp_path / "old").chmod(mode)
        write(tmp_path / "old")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == mode
    assert (tmp_path / "old").read_text() == "new"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "far" / "folder").mkdir(parents=True)
    file = tmp_path / "far" / "file.txt"
    file.write_text("old")
    file.chmod(0o640)
    links = {"link": "far/file.txt", "chain": "link", "dangling": "far/new.txt", "further": str(tmp_path / "no/new")}
    for name, end in links.items():
        (tmp_path / name).symlink_to(end)
    for name, end in links.items():
        write(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / end).read_text() == name
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["file.txt", "folder", "new.txt"]


@pytest.mark.parametrize("end", ["link", "far", "/dev/null"])
def test_a_link_that_leads_to_no_file_is_not_written_to(tmp_path, end):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(end)
    with pytest.raises(UserError, match="link is a symbolic link that leads to no file: give another name"):
        write(tmp_path / "link")
    assert str((tmp_path / "link").readlink()) == end


@pytest.mark.parametrize(
    ("stem", "ending", "name"),
    [
        ("photo", "_filled.jpg", "photo_filled.jpg"),
        ("n" * 251, "_filled.jpg", "n" * 244 + "_filled.jpg"),
        ("é" * 125, "_filled.jpg", "é" * 122 + "_filled.jpg"),
        ("a" + "\udce9" * 254, "_1", "a" + "\udce9" * 252 + "_1"),
    ],
)
def test_names_are_cut_between_characters_where_they_are_too_long(stem, ending, name):
    assert fitting(stem, ending) == name


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "kept.txt").write_text("before")

    def write_half():
        with atomic(tmp_path / "kept.txt") as beside:
            beside.write_text("half")
            raise OSError("disk full")

    with pytest.raises(UserError, match="could not be written: disk full"):
        write_half()
    assert (tmp_path / "kept.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1
