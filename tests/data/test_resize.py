import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from inpaint.data import resize as command
from inpaint.files import CONF
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_picture, write_picture
from tests.data.helpers import make_pictures, make_unreadable


def run(*arguments: object):
    app = typer.Typer()
    app.command()(command.resize_folder)
    return CliRunner().invoke(app, [str(value) for value in (*arguments, "--workers", 1)])


def test_larger_pictures_are_shrunk_and_others_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_pictures(source, ["small.png", "same.png"], side=16)
    make_pictures(source, ["a/large.png", "a/b/large.JPEG"], side=40)
    done = run(source, target, "--side", 16)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-2:] == ["4 pictures, 0 failed", str(target)]
    for name in ("small.png", "same.png"):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    large = read_picture(source / "a" / "large.png")
    expected = resize(large[None], (16, round(44 * 16 / 40)))[0]
    torch.testing.assert_close(read_picture(target / "a" / "large.png"), expected, rtol=0, atol=1.1 / 255)
    assert read_picture(target / "a" / "b" / "large.JPEG").shape == expected.shape
    assert len([path for path in target.rglob("*") if path.is_file()]) == 4


def test_it_goes_on_where_it_was_and_names_what_cannot_be_read(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_pictures(source, ["0.png", "1.png"])
    make_unreadable(source / "2.png")
    write_picture(torch.zeros(3, 4, 4), target / "0.png")
    before = (target / "0.png").read_bytes()
    done = run(source, target)
    assert done.exit_code == 1
    assert "2 pictures, 1 failed" in done.stdout
    assert "2.png is not a picture" in done.stderr
    assert (target / "0.png").read_bytes() == before
    assert sorted(path.name for path in target.iterdir()) == ["0.png", "1.png"]


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of three chunks."""

    def interrupted(done: Iterable[str | None], *_: object, **__: object) -> Iterator[str | None]:
        for failure in done:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
            os.kill(os.getpid(), signal.SIGINT)
            yield failure

    source, target = tmp_path / "source", tmp_path / "target"
    names = [f"{number}.png" for number in range(80)]
    make_pictures(source, names, side=16)
    with monkeypatch.context() as patch:
        patch.setattr(command, "track", interrupted)
        stopped = run(source, target)
    assert stopped.exit_code == 130
    assert "Interrupted: what is finished stays" in stopped.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    assert len(kept) >= 32
    assert kept.keys() <= set(names)  # nothing half-written

    assert run(source, target).exit_code == 0
    assert sorted(path.name for path in target.iterdir()) == sorted(names)
    assert all((target / name).stat().st_mtime_ns == when for name, when in kept.items())


@pytest.mark.parametrize(("target", "sentence"), [("copy", "There are no pictures"), ("source/copy", "lies inside")])
def test_what_cannot_be_copied_is_refused(target: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    if "inside" in sentence:
        make_pictures(tmp_path / "source", ["a.png"])
    done = run(tmp_path / "source", tmp_path / target)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not (tmp_path / target).exists()


def test_by_its_command(tmp_path: Path) -> None:
    make_pictures(tmp_path / "source", ["a.png"])
    arguments = [sys.executable, "-m", "inpaint.data.resize", "source", "target", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(CONF.parent)}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "target"
    assert (tmp_path / "target" / "a.png").is_file()
