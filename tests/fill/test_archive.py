"""Many photos: lists, and the engine that spreads them over processes."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from inpaint.fill import __main__ as command
from inpaint.fill import run as run_module
from inpaint.fill.cluster import gpu_share, with_whole_paths
from inpaint.fill.jobs import Job
from inpaint.photo.masks import ALPHA
from tests import logged
from tests.fill.test_fill import files
from tests.photo.test_inpainter import disc, network_file, picture
from tests.runs.test_resume import one_thread

app = typer.Typer()
app.command()(command.fill)


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


@pytest.fixture
def run(net):
    def call(*arguments):
        more = ["--content", str(net), "--preset", "instant", "--device", "cpu"]
        return CliRunner().invoke(app, [*map(str, arguments), *more])

    return call


def name_of(number):
    return f"{'ab'[number % 2]}/photo {number // 2}.png"


@pytest.fixture
def archive(tmp_path):
    """A list of six photos in two folders; the first pixel of each is its number."""
    lines = ["photo,mask", ""]
    (tmp_path / "masks").mkdir()
    Image.fromarray(disc()).save(tmp_path / "masks" / "disc.png")
    for number in range(6):
        pixels = picture()
        pixels[0, 0] = number
        path = tmp_path / name_of(number)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        lines.append(f"{path.relative_to(tmp_path)}, masks/disc.png")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path / "list.csv"


def pixels(folder):
    return {name: np.asarray(Image.open(folder / name)) for name in files(folder)}


def test_a_list_goes_on_where_it_stopped(run, archive, monkeypatch):
    out = archive.parent / "out"
    (archive.parent / "a" / "photo 1.png").rename(archive.parent / "away.png")
    monkeypatch.chdir("/")  # paths begin at the list's folder
    result = run(archive, "-o", out)
    assert result.exit_code == 1
    assert "5 filled, 0 skipped, 1 failed" in result.stderr
    assert f"{archive}, line 5: {archive.parent / 'a' / 'photo 1.png'} does not exist" in result.stderr
    assert "[2/6] b/photo 0.png: 1 hole, enlarged by 1 pixel, in" in result.stderr
    assert result.stderr.count(" left)") == 5
    assert files(out) == ["a/photo 0.png", "a/photo 2.png", "b/photo 0.png", "b/photo 1.png", "b/photo 2.png"]

    (archive.parent / "away.png").rename(archive.parent / "a" / "photo 1.png")
    result = run(archive, "-o", out)
    assert result.exit_code == 0
    assert "1 filled, 5 skipped, 0 failed" in result.stderr


def test_a_list_of_absolute_paths_elsewhere(run, archive, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    Image.fromarray(picture()).save(far / "one, two.png")
    Image.fromarray(picture()).save(far / "old.ppm")
    listing, disc_mask = archive.with_suffix(".txt"), archive.parent / "masks" / "disc.png"
    listing.write_text(f'"{far}/one, two.png",masks/disc.png\n{far}/old.ppm,{disc_mask}\n', encoding="utf-8-sig")
    result = run(listing)
    assert result.exit_code == 0, result.stderr
    assert files(archive.parent / "list_filled") == ["old.png", "one, two.png"]


def test_variants_of_a_list_keep_its_folders(run, archive):
    archive.write_text("a/photo 0.png,masks/disc.png\nb/photo 0.png,masks/disc.png\n")
    out = archive.parent / "out"
    result = run(archive, "-o", out, "--variants", 2)
    assert "4 filled, 0 skipped, 0 failed" in result.stderr
    assert files(out) == [f"{folder}/photo 0_{number}.png" for folder in "ab" for number in (1, 2)]


LINE = "a/photo 0.png,masks/disc.png\n"


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        (LINE + "a/photo 1.png", [], "list.csv, line 2: this is not photo,mask"),
        (LINE + "\na,b,c", [], "list.csv, line 3: this is not photo,mask"),
        ("a/photo 0.png,", [], "list.csv, line 1: this is not photo,mask"),
        ('"a/photo 0.png,masks/disc.png\n', [], "cannot be read as a list of photo,mask: unexpected end of data"),
        ("\xff\xfe", [], "cannot be read as a list of photo,mask"),
        ("photo,mask\n", [], "names no photos"),
        (LINE + LINE, [], "line 2: {here}/a/photo 0.png and {here}/a/photo 0.png would both become"),
        (
            LINE,
            ["-o", "."],
            "line 1: the result of {here}/a/photo 0.png would replace a/photo 0.png, one of",
        ),
        ("a/photo 0.png,a/photo 1.png\nphoto 1.png,m.png\n", ["-o", "a"], "line 2: the result of {here}/photo 1.png"),
        (
            LINE,
            ["-o", "link", "--overwrite"],
            "the result of {here}/a/photo 0.png would replace link/a/photo 0",
        ),
        ("a/shown.png,masks/disc.png", ["-o", "b", "--overwrite"], "one of the photos or masks"),
        (
            "disc.png,masks/disc.png",
            ["-o", "masks", "--overwrite"],
            "would replace masks/disc.png, one of",
        ),
        ("b/photo 0.png,masks/disc.png\nlinked/photo 0.png,masks/disc.png", ["-o", "out"], "would both become"),
        ("a/s.png,a/s/1/x.png", ["--save-intermediates", "link"], "intermediate pictures of {here}/a/s.png would lie"),
        (LINE, ["-o", "list.csv"], "list.csv is a file"),
        (LINE, ["--mask", "masks/disc.png"], "names the mask of each photo"),
        (LINE, ["--engine", "spark"], "There is no engine 'spark'"),
        (LINE, ["--workers", "2"], "--address and --workers are of a Ray cluster"),
        (LINE, ["--address", "auto"], "--address and --workers are of a Ray cluster"),
        (LINE, ["--engine", "ray", "--device", "cuda:1"], "--device cuda:1 is not for Ray"),
        (LINE, ["--engine", "ray", "--preset", "slow"], "There is no preset"),
    ],
)
def test_mistakes_end_in_a_sentence_and_change_nothing(archive, monkeypatch, net, text, arguments, sentence):
    monkeypatch.chdir(archive.parent)
    archive.write_bytes(text.encode("latin-1"))
    Path("link").symlink_to(archive.parent)
    Path("out").mkdir()
    Path("out/linked").symlink_to("b")
    Path("a/shown.png").symlink_to(archive.parent / "b" / "a" / "shown.png")
    before = files(archive.parent)
    result = CliRunner().invoke(app, ["list.csv", "--content", str(net), *arguments])
    assert result.exit_code == 2, result.output
    said = result.stderr.strip()
    assert said.startswith("error: ")
    assert sentence.format(here=archive.parent) in said
    assert "\n" not in said
    assert files(archive.parent) == before


def test_a_way_up_from_behind_a_link_is_the_systems(run, archive, tmp_path_factory):
    """A list in a folder that is a link: `..` in it is where the link leads, for the photo; the result stays below."""
    far = tmp_path_factory.mktemp("far") / "deep"
    far.mkdir()
    Image.fromarray(picture()).save(far.parent / "photo.png")
    (archive.parent / "link").symlink_to(far)
    archive.write_text("link/../photo.png,masks/disc.png\n")
    result = run(archive, "-o", archive.parent / "out")
    assert result.exit_code == 0, result.stderr
    assert files(archive.parent / "out") == ["photo.png"]


@pytest.mark.parametrize(
    ("workers", "gpus", "share"), [(1, 1, 1), (2, 4, 1), (4, 4, 1), (4, 1, 1 / 4), (3, 2, 1 / 2), (9, 4, 1 / 3)]
)
def test_workers_share_gpus_such_that_all_fit(workers, gpus, share):
    assert gpu_share(workers, gpus) == share
    assert gpus * int(1 / share) >= workers


def test_what_there_is_nothing_to_do_for_needs_no_ray(run, archive, monkeypatch):
    """The results that exist are told at once, and so is a mask that is missing."""
    monkeypatch.setitem(sys.modules, "ray", None)
    photos, masks, out = (archive.parent / name for name in ("a", "masks", "out"))
    out.mkdir()
    for name in ("photo 0.png", "photo 1.png"):
        shutil.copy(masks / "disc.png", masks / name)
        shutil.copy(photos / name, out)
    result = run(photos, "--mask", masks, "-o", out, "--engine", "ray")
    assert result.exit_code == 1, result.output
    assert "0 filled, 2 skipped, 1 failed" in result.stderr
    assert "photo 2.png: no mask for photo 2.png: looked for" in result.stderr


def test_paths_for_other_folders_are_whole_and_words_stay(monkeypatch):
    monkeypatch.chdir("/")
    job = Job(Path("a.png"), Path("a.png"), Path("b.png"))
    assert with_whole_paths(job)[:3] == (Path("/a.png"), Path("/a.png"), Path("/b.png"))
    assert with_whole_paths(job._replace(mask=ALPHA)).mask == ALPHA
    assert with_whole_paths(job._replace(mask=None)).mask is None


def test_ray_is_for_many_photos(run, archive):
    result = run(archive.parent / "a" / "photo 0.png", "--box", "1,1,5,5", "--engine", "ray")
    assert result.exit_code == 2
    assert "--engine ray is for many photos" in result.stderr


def test_without_ray_its_extra_is_named(run, archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(archive, "--engine", "ray")
    assert result.exit_code == 2
    assert "pip install 'neural-patch-synthesis[cluster]'" in result.stderr
    assert not (archive.parent / "list_filled").exists()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "No Ray cluster answers at 127.0.0.1:1: "),
        ("ray://127.0.0.1:1", "No Ray cluster answers at ray://127.0.0.1:1: "),
        ("127.0.0.1:99999", "No Ray cluster answers at 127.0.0.1:99999: "),
        ("nowhere", "'nowhere' is no address of a Ray cluster"),
    ],
)
def test_an_address_where_no_cluster_is(run, archive, address, sentence):
    pytest.importorskip("ray", reason="Ray is not installed")
    result = run(archive, "--engine", "ray", "--address", address)
    assert result.exit_code == 2
    assert f"error: {sentence}" in result.stderr


@pytest.fixture
def ray(archive, monkeypatch):
    """Ray's processes, of one thread each, tell what they do."""
    module = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv(logged.LOG, str(archive.parent / "log"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else whatever this machine does beside the tests comes first
    monkeypatch.setattr(run_module, "Inpainter", logged.Logged)
    return module


def interrupt_at(monkeypatch, beginning, begun=0):
    """Ctrl-C as soon as a line that begins so is told and so many photos have begun."""
    say = run_module.say

    def interrupt(line):
        say(line)
        if line.startswith(beginning):
            while begun > logged.log().count("began"):
                time.sleep(0.01)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module, "say", interrupt)


def test_two_processes_of_which_one_is_killed(run, archive, ray, monkeypatch):
    """Starting Ray is slow: so that once will do, Ctrl-C comes as soon as the last photo is told."""
    here, out, report = (archive.parent / name for name in ("here", "out", "report.json"))
    with one_thread():
        assert run(archive, "-o", here).exit_code == 0
    (out / "b").mkdir(parents=True)
    shutil.copy(here / "b" / "photo 0.png", out / "b")

    (archive.parent / "log").write_text("")
    monkeypatch.setenv(logged.VICTIM, "2")
    interrupt_at(monkeypatch, "[6/6]")
    result = run(archive, "-o", out, "--engine", "ray", "--workers", 2, "--report", report)
    assert result.exit_code == 130, result.stderr
    assert "Interrupted: what is finished stays" in result.stderr
    assert "5 filled, 1 skipped, 0 failed" in result.stderr
    assert not ray.is_initialized()
    lines = [line.split() for line in logged.log().splitlines()]
    assert sorted(number for what, _, number in lines if what == "filled") == ["0", "2", "3", "4", "5"]
    assert sorted(number for what, _, number in lines if what == "began") == ["0", "2", "2", "3", "4", "5"]
    killed, again = (process for what, process, number in lines if (what, number) == ("began", "2"))
    assert killed != again
    written = [Path(entry["output"]).relative_to(out) for entry in json.loads(report.read_text())["photos"]]
    assert [str(path) for path in written] == [name_of(number) for number in (0, 2, 3, 4, 5)]
    found, expected = pixels(out), pixels(here)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_ctrl_c_while_a_process_works(run, archive, ray, monkeypatch):
    out = archive.parent / "out"
    interrupt_at(monkeypatch, "[1/6]", begun=2)
    monkeypatch.setenv(logged.ENDLESS, "2")
    result = run(archive, "-o", out, "--engine", "ray", "--workers", 1)
    assert result.exit_code == 130, result.stderr
    assert "Interrupted: what is finished stays" in result.stderr
    assert "1 filled, 0 skipped, 0 failed" in result.stderr
    assert not ray.is_initialized()
    first = int(logged.log().split()[2])  # Ray's tasks have no order
    assert files(out) == [name_of(first)]  # nothing half-written
    monkeypatch.undo()

    result = run(archive, "-o", out)
    assert result.exit_code == 0, result.stderr
    assert "5 filled, 1 skipped, 0 failed" in result.stderr
