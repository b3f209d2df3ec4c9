import pytest

from inpaint.errors import UserError
from inpaint.files import atomic


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
