import os
import stat

import pytest

from inpaint.errors import UserError
from inpaint.files import atomic


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
