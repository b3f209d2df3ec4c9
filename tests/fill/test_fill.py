import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from inpaint.fill import __main__ as command
from inpaint.fill import jobs
from inpaint.fill import run as run_module
from inpaint.photo.enlarge import enlarge
from inpaint.photo.files import read_photo
from inpaint.photo.inpainter import Inpainter
from tests.photo.test_inpainter import disc, network_file, picture

app = typer.Typer()
app.command()(command.fill)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mask(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


@pytest.fixture
def run(net):
    def call(*arguments, content=net):
        more = ["--content", str(content), "--preset", "instant", "--device", "cpu"]
        return CliRunner().invoke(app, [*map(str, arguments), *more])

    return call


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_outside_untouched(before, after, marked, dilate=None, feather=None):
    before, after = read_photo(before).pixels, read_photo(after).pixels
    outside = enlarge(marked, dilate, feather).weights == 0
    assert before.dtype == after.dtype
    assert np.array_equal(before[outside], after[outside])
    assert not np.array_equal(before, after)


def test_a_mask_and_the_default_name(run, photo, mask, tmp_path):
    before = photo.read_bytes()
    result = run(photo, "--mask", mask)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "photo_filled.png") in result.output
    assert photo.read_bytes() == before
    assert files(tmp_path) == ["mask.png", "photo.png", "photo_filled.png"]
    assert_outside_untouched(photo, tmp_path / "photo_filled.png", disc())


def test_boxes_margins_report_and_intermediates(run, photo, tmp_path, net):
    out, report = tmp_path / "out.png", tmp_path / "report.json"
    result = run(photo, "--box", "10,10,20,20", "--box", "80,60,90,75", "--dilate", 2, "--feather", 0, "-o", out)
    assert result.exit_code == 0, result.output
    marked = np.zeros((90, 110), dtype=bool)
    marked[10:20, 10:20] = marked[60:75, 80:90] = True
    assert_outside_untouched(photo, out, marked, 2, 0)

    result = run(
        photo, "--box", "10,10,20,20", "-o", out, "--overwrite", "--report", report, "--alpha", 0.5, "--seed", 3,
        "--save-intermediates", tmp_path / "steps",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(report.read_text())
    assert content["settings"]["alpha"] == 0.5
    assert content["seed"] == 3
    assert len(content["weights"]["content"]["sha256"]) == len(content["weights"]["vgg"]["sha256"]) == 64
    assert content["peak_memory_bytes"]["main"] > 1e6
    assert content["device"] == "cpu"
    assert content["precision"] in ("float32", "bfloat16")
    assert content["versions"]["torch"]
    (entry,) = content["photos"]
    assert entry["size"] == [110, 90]
    assert entry["seconds"]["total"] >= entry["seconds"]["refinement"] > 0
    (hole,) = entry["holes"]
    assert hole["box"] == [9, 9, 21, 21]
    scale = hole["scales"][0]
    assert (scale["iterations"], scale["energies_before"], scale["energies_after"]) == (
        0,
        None,
        None,
    )  # as it was voted
    assert "steps/photo/hole_001/prediction.png" in files(tmp_path)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_turned_photo_is_filled_as_it_is_seen(run, tmp_path, depth):
    from inpaint.photo.files import write_photo
    from inpaint.photo.photo import Photo

    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "maker"
    pixels = picture(dtype=np.uint16 if depth == 16 else np.uint8)
    write_photo(Photo(pixels, "RGB", exif=tags.tobytes()), tmp_path / "p.png")
    Image.fromarray(np.rot90(disc(), -1)).save(tmp_path / "mask.png")
    result = run(tmp_path / "p.png", "--mask", tmp_path / "mask.png")
    assert result.exit_code == 0, result.output
    assert_outside_untouched(tmp_path / "p.png", tmp_path / "p_filled.png", np.rot90(disc(), -1))
    assert np.array_equal(read_photo(tmp_path / "p.png").pixels, np.rot90(pixels, -1))
    with Image.open(tmp_path / "p_filled.png") as image:
        assert (image.getexif()[0x0112], image.getexif()[0x010F]) == (1, "maker")


@pytest.mark.parametrize("how", [("alpha",), ("itself", "--invert"), ("p.png", "--invert")])
def test_an_erased_photo_is_its_own_mask(run, tmp_path, monkeypatch, how):
    """What was erased is filled and opaque, so that even a JPEG can be written of it."""
    monkeypatch.chdir(tmp_path)
    pixels = picture(channels=4)
    pixels[..., 3] = np.where(disc(), 0, 255)
    Image.fromarray(pixels).save("p.png")
    for name in ("out.png", "out.jpg"):
        result = run("p.png", "--mask", *how, "-o", name)
        assert result.exit_code == 0, result.output
    filled = read_photo("out.png").pixels
    assert (filled[..., 3] == 255).all()
    outside = enlarge(disc()).weights == 0
    assert np.array_equal(filled[outside], pixels[outside])
    assert read_photo("out.jpg").mode == "RGB"


def test_a_canvas_is_expanded_with_and_without_a_mask(run, photo, mask, tmp_path):
    for number, more in enumerate([(), ("--mask", mask)]):
        result = run(photo, "--expand", "10,0,50%,5", *more, "-o", tmp_path / f"{number}.png")
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / f"{number}.png") as image:
            assert image.size == (10 + 110 + 55, 95)
            inside = np.array(image)[:90, 10:120]
        outside = enlarge(disc()).weights == 0 if more else np.ones((90, 110), dtype=bool)
        assert np.array_equal(inside[outside], picture()[outside])
    report = tmp_path / "report.json"
    Image.new("RGB", (16380, 3)).save(tmp_path / "wide.png")
    result = run(tmp_path / "wide.png", "--expand", "20,0,0,0", "-o", tmp_path / "wide.webp", "--report", report)
    assert result.exit_code == 2
    assert "The result has 16400 x 3 pixels, but .webp holds at most 16383 a side" in result.output
    result = run(photo, "--expand", "10,0,50%,5", "-o", tmp_path / "again.png", "--report", report)
    assert json.loads(report.read_text())["photos"][0]["size"] == [175, 95]


def test_what_a_person_should_know_is_said(run, tmp_path):
    """Of a mask that marks most of a photo, and of what the result's format has no place for."""
    Image.fromarray(picture()).save(tmp_path / "p.jpg", comment=b"from the sea")
    most = np.zeros((90, 110), dtype=bool)
    most[:, :80] = True
    Image.fromarray(most).save(tmp_path / "mask.png")
    result = run(tmp_path / "p.jpg", "--mask", tmp_path / "mask.png", "-o", tmp_path / "p.bmp")
    assert result.exit_code == 0, result.output
    assert "enlarged by 1 pixel, in" in result.output
    assert "the mask marks 73% of the photo: if it was meant the other way round, use --invert" in result.output
    assert "not kept: " in result.output
    assert "comment" in result.output


def test_variants_of_a_photo(run, photo, mask, tmp_path):
    report, steps = tmp_path / "report.json", tmp_path / "steps"
    more = ("--seed", 4, "--report", report, "--save-intermediates", steps)
    result = run(photo, "--mask", mask, "--variants", 2, *more)
    assert result.exit_code == 0, result.output
    made = [tmp_path / f"photo_filled_{number}.png" for number in (1, 2)]
    assert result.stdout.split() == [str(path) for path in made]
    assert [line.split(" hole")[0] for line in result.stderr.splitlines()] == ["photo.png: 1"] * 2
    assert not (tmp_path / "photo_filled.png").exists()
    entries = json.loads(report.read_text())["photos"]
    assert [(entry["output"], entry["seed"]) for entry in entries] == [(str(made[0]), 4), (str(made[1]), 5)]
    assert {"photo_1/hole_001/prediction.png", "photo_2/hole_001/prediction.png"} < set(files(steps))
    for path, seed in zip(made, (4, 5), strict=True):
        assert run(photo, "--mask", mask, "--seed", seed, "-o", tmp_path / "one.png", "--overwrite").exit_code == 0
        assert (tmp_path / "one.png").read_bytes() == path.read_bytes()
    assert made[0].read_bytes() != made[1].read_bytes()


def test_variants_replace_nothing_unasked(run, photo, mask, tmp_path, monkeypatch):
    """Every name is looked at before any work; neither photo nor mask is replaced, whatever is asked."""
    monkeypatch.setattr(run_module, "Inpainter", None)
    for path, other in ((photo, "out_1.png"), (mask, "out_2.png"), (photo, "mine_2.png")):
        shutil.copy(path, tmp_path / other)
    for given, at, output, sentence in (
        (photo, mask, "mine.png", "mine_2.png exists already"),
        (tmp_path / "out_1.png", mask, "out.png", "would replace"),
        (photo, tmp_path / "out_2.png", "out.png", "would replace"),
    ):
        more = ("--overwrite",) if sentence == "would replace" else ()
        result = run(given, "--mask", at, "--variants", 2, "-o", tmp_path / output, *more)
        assert result.exit_code == 2
        assert sentence in result.stderr
    assert not (tmp_path / "mine_1.png").exists()


def test_a_hole_without_texture_around_is_told(run, photo):
    result = run(photo, "--box", "4,4,106,86", "--dilate", 0)
    assert result.exit_code == 0
    assert "photo.png: 1 hole with too little around" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere such names cannot be")
def test_a_name_that_is_no_text(run, photo, tmp_path):
    """A byte that is no UTF-8, an escape sequence, and what Rich could take for markup or an emoji."""
    name = os.fsdecode(b"caf\xe9\x1b[1m[red]:smile:.png")
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / name)
    report = tmp_path / "report.json"
    result = run(tmp_path / "photos" / name, *BOX, "--report", report)
    assert result.exit_code == 0, result.output
    written = name.replace(".png", "_filled.png")
    assert result.stdout_bytes == os.fsencode(tmp_path / "photos" / written) + b"\n"
    shown = r"caf\xe9\x1b[1m[red]:smile:"
    assert f"{shown}.png: 1 hole, enlarged by" in result.stderr
    assert f"{shown}_filled.png" in result.stderr
    assert json.loads(report.read_text())["photos"][0]["output"] == str(tmp_path / "photos" / written)
    result = run(tmp_path / "photos", *BOX)
    assert result.exit_code == 0, result.output
    assert f"[1/2] {shown}.png: 1 hole" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_link_that_is_written_to_stays(run, photo, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out.png").symlink_to("out/data.png")
    (tmp_path / "report.json").symlink_to("out/data.json")
    given = (photo, *BOX, "-o", tmp_path / "out.png", "--report", tmp_path / "report.json")
    for more in ((), ("--overwrite",)):
        result = run(*given, *more)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "out.png").readlink() == Path("out/data.png")
        assert files(tmp_path / "out") == ["data.json", "data.png"]
    (tmp_path / "report.json").unlink()
    (tmp_path / "report.json").symlink_to(photo)
    result = run(*given, "--overwrite")
    assert result.exit_code == 2
    assert "report.json is no name for a report" in result.stderr


def test_home_is_found(run, photo, mask, net, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("~/photo.png", "--mask=~/mask.png", "-o", "~/out.png")
    assert result.exit_code == 0, result.output
    assert "out.png" in files(tmp_path)
    shutil.copy(net, tmp_path / "net.safetensors")
    more = ("--overwrite", "--save-intermediates=~/steps", "--report=~/report.json", "-o", "~/out.png")
    result = run("~/photo.png", "--mask=~/mask.png", *more, content="~/net.safetensors")
    assert result.exit_code == 0, result.output
    assert {"report.json", "steps/photo/hole_001/input.png"} <= set(files(tmp_path))


def test_a_folder_run_goes_on_where_it_stopped(run, tmp_path, mask):
    photos, masks, out = tmp_path / "photos", tmp_path / "masks", tmp_path / "filled"
    photos.mkdir()
    masks.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        Image.fromarray(picture()).save(photos / name)
    (photos / "notes.txt").write_text("no photo")
    Image.fromarray(disc()).save(masks / "a.png")
    Image.fromarray(disc()).save(masks / "b.png")
    result = run(photos, "--mask", masks, "-o", out, "--report", tmp_path / "report.json")
    assert result.exit_code == 1
    assert "2 filled, 0 skipped, 1 failed" in result.output
    assert (
        f"no mask for c.png: looked for c.png, c_mask.png, c-mask.png, c.png.png in {masks}{os.sep} (" in result.stderr
    )
    assert result.stderr.splitlines()[0] == "Left out: notes.txt"
    assert files(out) == ["a.png", "b.jpg"]
    assert [set(e) >= {"error"} for e in json.loads((tmp_path / "report.json").read_text())["photos"]] == [0, 0, 1]
    times = (out / "a.png").stat().st_mtime_ns

    Image.fromarray(disc()).save(masks / "c.png")
    result = run(photos, "--mask", masks, "-o", out)
    assert result.exit_code == 0, result.output
    assert "1 filled, 2 skipped, 0 failed" in result.output
    assert (out / "a.png").stat().st_mtime_ns == times

    result = run(photos, "--mask", mask, "-o", tmp_path / "again")  # one mask for all
    assert "3 filled, 0 skipped, 0 failed" in result.output


def test_a_folder_run_with_variants_goes_on_where_it_stopped(run, tmp_path, mask):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a_1.jpg"):  # whose numbers are not taken for each other's
        Image.fromarray(picture()).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "b.png").write_text("no picture")
    given = (tmp_path / "photos", "--mask", mask, "-o", tmp_path / "out", "--variants", 2)
    result = run(*given, "--seed", 7)
    assert result.exit_code == 1
    assert "4 filled, 0 skipped, 2 failed" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"  {tmp_path / 'photos' / 'b.png'}: ")
    assert result.stderr.count("\n  ") == 1
    assert files(tmp_path / "out") == ["a_1.png", "a_1_1.jpg", "a_1_2.jpg", "a_2.png"]
    (tmp_path / "photos" / "b.png").unlink()
    kept, again = (tmp_path / "out" / "a_1.png").stat().st_mtime_ns, tmp_path / "out" / "a_2.png"
    second = again.read_bytes()
    again.unlink()
    result = run(*given, "--seed", 7)
    assert "1 filled, 3 skipped, 0 failed" in result.stderr
    assert (tmp_path / "out" / "a_1.png").stat().st_mtime_ns == kept
    assert again.read_bytes() == second


def test_what_lies_beside_the_photos_is_not_filled(run, tmp_path, monkeypatch):
    """The mask, hidden files; and the folder that one is in can be given as a dot."""
    (tmp_path / "walk").mkdir()
    monkeypatch.chdir(tmp_path / "walk")
    Image.fromarray(picture()).save("a.png")
    Image.fromarray(disc()).save("mask.png")
    for name in ("._a.png", ".a.123.part.png"):
        (tmp_path / "walk" / name).write_text("no picture")
    result = run(".", "--mask", "mask.png")
    assert result.exit_code == 0, result.output
    assert "1 filled, 0 skipped, 0 failed" in result.output
    assert files(tmp_path / "walk_filled") == ["a.png"]


def test_a_report_is_renewed_by_a_folder_run_and_where_asked(run, photo, mask, tmp_path):
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / "a.png")
    report = tmp_path / "report.json"
    for source, more in (("photos", ()), ("photos", ()), ("photos/a.png", ("--overwrite",))):
        report.write_text("old")
        result = run(tmp_path / source, "--mask", mask, "--report", report, *more)
        assert result.exit_code == 0, result.output
        assert json.loads(report.read_text())["versions"]


def test_interrupting_keeps_what_is_finished(run, tmp_path, mask, monkeypatch):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(picture()).save(tmp_path / "photos" / name)
    real, calls = Inpainter.fill_photo, []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    monkeypatch.setattr(Inpainter, "fill_photo", interrupted)
    result = run(tmp_path / "photos", "--mask", mask, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "1 filled, 0 skipped, 0 failed" in result.output
    assert files(tmp_path / "out") == ["a.png"]
    calls.append(1)
    result = run(tmp_path / "photos", "--mask", mask, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "1 filled, 1 skipped, 0 failed" in result.output


def interrupt_after(monkeypatch, name):
    """Ctrl-C as soon as a function of the run returns."""
    real = getattr(run_module, name)

    def interrupted(*arguments, **options):
        real(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, name, interrupted)


@pytest.mark.parametrize(
    ("after", "many", "sentence"),
    [
        ("Inpainter", False, "Interrupted: out.png is not written; report.json is not written."),
        ("read_photo", False, "Interrupted: out.png is not written; report.json is not written."),
        ("write_photo", False, "Interrupted: out.png is written; report.json is not written."),
        ("run_single", False, "Interrupted: out.png is written; report.json is not written."),
        ("write_report", False, "Interrupted: out.png is written; report.json is written."),
        ("run_many", True, "goes on from there; report.json is not written."),
        ("write_report", True, "goes on from there; report.json is written."),
    ],
)
def test_what_is_said_of_an_interruption_is_true(run, photo, mask, tmp_path, monkeypatch, after, many, sentence):
    (tmp_path / "photos").mkdir()
    shutil.copy(photo, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for name in ("out.png", "report.json"):
        Path(name).write_text("old")
    given = ["photos"] if many else ["photo.png", "-o", "out.png", "--overwrite"]
    interrupt_after(monkeypatch, after)
    result = run(*given, "--mask", mask, "--report", "report.json")
    assert result.exit_code == 130, result.output
    assert sentence in result.stderr
    for name in ("report.json",) if many else ("out.png", "report.json"):
        assert (Path(name).read_bytes() == b"old") == (f"{name} is not written" in result.stderr)


def test_interrupting_keeps_finished_variants(run, photo, mask, tmp_path, monkeypatch):
    real = Inpainter.fill_photo

    def interrupted(self, *arguments, seed, **options):
        if seed == 1:
            raise KeyboardInterrupt
        return real(self, *arguments, seed=seed, **options)

    monkeypatch.setattr(Inpainter, "fill_photo", interrupted)
    monkeypatch.chdir(tmp_path)
    result = run(photo, "--mask", mask, "-o", "out.png", "--variants", 3)
    assert result.exit_code == 130
    sentence = "Interrupted: out_1.png is written; out_2.png is not written; out_3.png is not written."
    assert sentence in result.stderr
    assert files(tmp_path) == ["mask.png", "out_1.png", "photo.png"]


def test_a_folder_of_masks_is_listed_once(tmp_path, monkeypatch):
    for folder, suffix in (("photos", ".jpg"), ("masks", ".png")):
        (tmp_path / folder).mkdir()
        for number in range(50):
            (tmp_path / folder / f"{number}{suffix}").touch()
    listed, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda top, **options: listed.append(top.name) or walk(top, **options))
    options = jobs.Options([], False, None, None, False, None)
    found = jobs.find_jobs(tmp_path / "photos", tmp_path / "masks", tmp_path / "out", options)
    assert sorted(listed) == ["masks", "photos"]
    assert {job.photo.name: job.mask.name for job in found} == {f"{n}.jpg": f"{n}.png" for n in range(50)}


def broken(tmp_path):
    """Files with which something is wrong."""
    (tmp_path / "text.png").write_text("hello")
    Image.fromarray(picture()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:9000])
    Image.fromarray(disc(91)).save(tmp_path / "large_mask.png")
    Image.new("L", (110, 90), 0).save(tmp_path / "empty.png")
    Image.new("L", (110, 90), 255).save(tmp_path / "full.png")
    Image.fromarray(picture(channels=4)).save(tmp_path / "clear.png")
    (tmp_path / "holder").mkdir()
    (tmp_path / "code.ckpt").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.")
    save_file({"generator.encoder.0.0.weight": torch.ones(4, 3, 4, 4)}, tmp_path / "other.safetensors")
    head = struct.pack(">4sLLBBBBB", b"IHDR", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">L", 13) + head + struct.pack(">L", zlib.crc32(head))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + bytes(4))
    (tmp_path / "old.json").write_text("an earlier report")


BOX = ("--box", "10,10,30,30")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.png", *BOX], "missing.png does not exist"),
        (["text.png", *BOX], "text.png is not a picture"),
        (["cut.png", *BOX], "cut.png cannot be read"),
        (["photo.png", *BOX, "--max-pixels", "9000"], "--max-pixels"),
        (["bomb.png", *BOX], "bomb.png declares 100000 x 100000 pixels"),
        (["photo.png", "--mask", "bomb.png"], "bomb.png declares 100000 x 100000 pixels"),
        (["photo.png"], "Nothing says what to remove"),
        (["photo.png", "--mask", "missing.png"], "missing.png does not exist"),
        (["photo.png", "--mask", "text.png"], "text.png is not a picture"),
        (["photo.png", "--mask", "large_mask.png"], "110 x 91 pixels, but the photo, shown upright, is 110 x 90"),
        (["photo.png", "--mask", "empty.png"], "empty.png marks nothing"),
        (["photo.png", "--mask", "full.png"], "marks the whole photo"),
        (["photo.png", "--mask", "full.png", "--invert"], "full.png marks nothing"),
        (["photo.png", *BOX, "--invert"], "--invert needs a mask"),
        (["photo.png", "--mask", "holder"], "is a folder of masks"),
        (["photo.png", "--box", "500,500,600,600"], "outside the photo, which is 110 x 90"),
        (["photo.png", "--box", "30,10,10,30"], "is empty"),
        (["photo.png", "--box", "1,2,3"], "is not four whole numbers"),
        (["photo.png", *BOX, "--dilate", "200"], "covers the whole photo"),
        (["photo.png", *BOX, "-o", "out.xyz"], "extension that cannot be written"),
        (["photo.png", *BOX, "-o", "photo.png"], "exists already"),
        (["photo.png", *BOX, "-o", "text.png/out.png"], "is a file"),
        (["photo.png", *BOX, "--report", "text.png/report.json"], "is a file"),
        (["photo.png", *BOX, "--report", "photo.png"], "photo.png is no name for a report"),
        (["photo.png", *BOX, "--report", "old.json"], "old.json exists already"),
        (["photo.png", *BOX, "--save-intermediates", "text.png"], "is a file"),
        (["clear.png", *BOX, "-o", "out.jpg"], "has transparency"),
        (["photo.png", *BOX, "--device", "cuda"], "There is no device cuda: 0 CUDA devices were found"),
        (["photo.png", *BOX, "--device", "mps"], "There is no device mps here"),
        (["photo.png", *BOX, "--device", "toaster"], "There is no device"),
        (["photo.png", *BOX, "--preset", "slow"], "There is no preset"),
        (["photo.png", *BOX, "-o", "photo.png", "--preset", "slow"], "There is no preset"),
        (["photo.png", *BOX, "--alpha", "inf"], "alpha is inf"),
        (["photo.png", *BOX, "--seed", "-1"], "seed is -1"),
        (["photo.png", *BOX, "--seed", str(2**70)], f"seed is {2**70}"),
        (["photo.png", *BOX, "--seed", str(2**63 - 1), "--variants", "2"], f"seed is {2**63}"),
        (["photo.png", *BOX, "--variants", "0"], "variants is 0, but has to be at least 1"),
        (["photos", *BOX, "--variants", "-1"], "variants is -1, but has to be at least 1"),
        (["photo.png", *BOX, "--content", "missing.ckpt"], "missing.ckpt does not exist: choose starter"),
        (["photo.png", *BOX, "--content", "tellea"], "There is no first stage 'tellea': choose starter"),
        (
            ["photo.png", *BOX, "--content", "code.ckpt"],
            "code.ckpt cannot be read as a checkpoint of tensors: it is damaged, or holds more than",
        ),
        (["photo.png", *BOX, "--content", "other.safetensors"], "other.safetensors holds no content network"),
        (["photo.png", *BOX, "--content", "bomb.png"], "bomb.png declares"),
        (["photo.png", *BOX, "--content", "large_mask.png"], "must have the photo's size"),
        (["holder", *BOX], "holds no pictures"),
        (["photos", *BOX, "-o", "photos"], "the folder of the photos themselves"),
        (["photos", *BOX, "-o", "out.png"], "looks like a file"),
        (["photos", *BOX, "-o", "link"], "the folder of the photos themselves"),
        (["photos", "--mask", "photos/a.png", "-o", "holder", "--overwrite"], "holds no pictures"),
        (["photos", "--mask", "masks", "-o", "linked_masks", "--overwrite"], "would replace linked_masks/a.png"),
        (["n" * 256 + ".png", *BOX], "does not exist"),
        (["photo.png", "--mask", "n" * 256 + ".png"], "does not exist"),
        (["photo.png", *BOX, "-o", "n" * 256 + ".png"], "cannot be read or written: File name too long"),
        (["photo.png", *BOX, "--report", "n" * 256 + ".json"], "cannot be read or written: File name too long"),
        (["photo.png", *BOX, "--save-intermediates", "n" * 256], "cannot be read or written: File name too long"),
        (["~nobody-of-this-name/photo.png", *BOX], "does not exist"),
        (["photo.png", *BOX, "--device", "cpu:"], "There is no device 'cpu:'"),
    ],
)
def test_mistakes_end_in_a_sentence_and_change_nothing(photo, tmp_path, monkeypatch, net, arguments, sentence):
    broken(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture()).save(tmp_path / "photos" / "a.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(disc()).save(tmp_path / "masks" / "a.png")
    for name, folder in (("link", "photos"), ("linked_masks", "masks")):
        (tmp_path / name).symlink_to(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    given = [*arguments] if "--content" in arguments else [*arguments, "--content", str(net)]
    result = CliRunner().invoke(app, given if "--device" in given else [*given, "--device", "cpu"])
    assert result.exit_code == 2, result.output
    said = result.stderr.strip()  # some versions of rich begin with an empty line
    assert said.startswith("error: ")
    assert sentence in said
    assert "\n" not in said
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_an_unwritable_folder(run, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    result = run(photo, *BOX, "-o", tmp_path / "out.png")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert files(tmp_path) == ["photo.png"]


@pytest.mark.parametrize("option", ["-o", "--save-intermediates"])
def test_a_full_disk(run, photo, tmp_path, option):
    """A limit on the size of files stands in for it: no file may have more than 300 bytes."""
    resource = pytest.importorskip("resource")
    target = {"-o": "photo.png", "--save-intermediates": "steps"}[option]
    content, before = photo.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        result = run(photo, *BOX, "--overwrite", option, tmp_path / target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert result.exit_code == 2
    assert "could not be written: File too large" in result.stderr
    assert files(tmp_path) == ["photo.png"]
    assert photo.read_bytes() == content


def test_the_module_is_a_command():
    made = subprocess.run([sys.executable, "-m", "inpaint.fill", "--help"], capture_output=True, text=True, check=True)
    assert "--mask" in made.stdout
    assert "[default: beside the photo]" in made.stdout
    assert "bool" not in made.stdout
    given = [os.fsencode(sys.executable), "-m", "inpaint.fill", b"caf\xe9\x1b[1m.png", *BOX]
    made = subprocess.run(given, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert made.returncode == 2
    assert made.stderr.strip() == rb"error: caf\xe9\x1b[1m.png does not exist."
