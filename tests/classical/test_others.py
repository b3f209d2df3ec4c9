"""Handing the test's pictures to other programs, and measuring what they made of them."""

import logging
import math
import os
import shutil
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from inpaint.classical.filling import fill
from inpaint.classical.others import NOISE, GivenResults, Inputs, unfilled
from inpaint.classical.result_files import check_size, find_results, refuse_missing
from inpaint.data.mask_files import MaskFolder
from inpaint.data.masks import centre_square, free_form
from inpaint.data.sets import Folder
from inpaint.errors import UserError
from inpaint.fill.__main__ import fill as fill_command
from inpaint.imaging.crops import centre_crop
from inpaint.imaging.pixels import composite
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.train.run import train
from tests.data.helpers import COMMON, make_pictures, make_unreadable, trainer

CONF = Path(__file__).parents[2] / "conf"
NAMES = ["a.png", "b.png", "sub/c.png"]
NOWHERE = Path("/nowhere")
IDS = dict(zip(["a", "b", "sub__c"], NAMES, strict=True))


@pytest.fixture
def root(tmp_path):
    make_pictures(tmp_path / "photos", NAMES, side=48)
    return tmp_path / "photos"


class Kept(pl.Callback):
    """What the test steps returned."""

    def __init__(self):
        self.outputs = []

    def on_test_batch_end(self, trainer, module, outputs, *_):
        self.outputs.append(outputs)


def data_set(root, hole=None):
    common = {**COMMON, "evaluation_hole": hole or partial(free_form, anywhere=True)}
    return Folder(root, folders=["."], pattern="*", split=(0, 0, 1), **common)


def scored(root, results, name=None, data=None):
    kept = Kept()
    run = trainer(root.parent / "run", callbacks=[kept])
    run.test(GivenResults(results, name), data or data_set(root), verbose=False)
    return {output["id"][0]: output for output in kept.outputs}


def moved(picture: torch.Tensor) -> torch.Tensor:
    """What no program makes of a picture, but no pixel of which is the truth: 20 levels up or down."""
    return torch.where(picture < 0.5, picture + 20 / 255, picture - 20 / 255)


def truths(root) -> dict[str, torch.Tensor]:
    return {key: centre_crop(read_picture(root / name), 32) for key, name in IDS.items()}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


# Where results are


@pytest.mark.parametrize(
    "name",
    [
        *("sub/c_filled.png", "sub__c_filled.webp", "c_filled.png", "sub/c.png", "sub/c.JPG", "sub__c.png", "c.tif"),
        "pictures/sub__c/refined.png",
    ],
)
def test_a_result_is_found_by_name_or_id(tmp_path, name):
    assert find_results(touch(tmp_path, name), {"sub__c": "sub/c.png"}, NOWHERE) == {"sub__c": tmp_path / name}


def test_what_was_filled_beside_a_photo_counts_not_the_photo(tmp_path):
    touch(tmp_path, "a.jpg", "a_filled.jpg", "a_mask.png", "a.txt", ".a.png")
    assert find_results(tmp_path, {"a": "a.jpg"}, NOWHERE) == {"a": tmp_path / "a_filled.jpg"}


def test_a_result_in_the_photo_s_own_format_counts_before_others(tmp_path):
    touch(tmp_path, "a.jpg", "a.png")
    found = find_results(tmp_path, {"a-1": "a.jpg", "a-2": "a.png"}, NOWHERE)
    assert found == {"a-1": tmp_path / "a.jpg", "a-2": tmp_path / "a.png"}
    with pytest.raises(UserError, match=r"a\.jpg and a\.png in .* could each be the result of a\.bmp: keep one"):
        find_results(tmp_path, {"a": "a.bmp"}, NOWHERE)


def test_one_file_is_not_the_result_of_two_pictures(tmp_path):
    touch(tmp_path, "c.png")
    with pytest.raises(UserError, match=r"c\.png would be the result of x/c\.jpg and of y/c\.jpg: .* ids"):
        find_results(tmp_path, {"x__c": "x/c.jpg", "y__c": "y/c.jpg"}, NOWHERE)


def test_missing_results_are_counted_and_named_before_anything_is_measured(root, tmp_path):
    with pytest.raises(UserError, match=r"^2 of the 3 test pictures have no result in .*: b\.png, sub/c\.png\. .* b_f"):
        scored(root, touch(tmp_path / "results", "a.png"))
    many = {f"{n}": f"{n}.png" for n in range(10)}
    with pytest.raises(UserError, match=r"10 of the 10 .*: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png and 5 more\. "):
        refuse_missing(many, many, tmp_path)
    with pytest.raises(UserError, match=r"expected in .*absent, which is no folder: set model\.root"):
        GivenResults(tmp_path / "absent", None)
    with pytest.raises(UserError, match=r"no folder of results: set model\.root \(results\.root in a study\)\.$"):
        GivenResults(None, None)


def test_sizes_other_than_the_test_s_and_the_file_s_are_refused_by_name(tmp_path):
    for name, size in {"photo": (60, 40), "test": (32, 32), "own": (60, 40), "turned": (40, 60)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    for name in ("test", "own"):
        check_size(tmp_path / f"{name}.png", tmp_path / "photo.png", 32)
    message = r"turned\.png is 40 x 60 pixels, but the test is at 32 x 32, and .*photo\.png is 60 x 40"
    with pytest.raises(UserError, match=message):
        check_size(tmp_path / "turned.png", tmp_path / "photo.png", 32)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.new("RGB", (40, 60)).save(tmp_path / "upright.png", exif=exif)
    check_size(tmp_path / "upright.png", tmp_path / "photo.png", 32)


# What is measured


@pytest.mark.parametrize("size", ["the test's", "the file's"])
def test_a_result_is_taken_for_what_it_is(root, tmp_path, size, caplog):
    """Of the file's size it is resized, as the picture is."""
    for key, name in IDS.items():
        whole = moved(read_picture(root / name))
        write_picture(centre_crop(whole, 32) if size == "the test's" else whole, tmp_path / "results" / f"{key}.png")
    with caplog.at_level(logging.WARNING):
        outputs = scored(root, tmp_path / "results")
    assert set(outputs) == set(IDS)
    for key, truth in truths(root).items():
        output = outputs[key]
        expected = centre_crop(moved(read_picture(root / IDS[key])), 32)
        assert ((output["refined"][0] - expected) * output["mask"][0]).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(output["truth"][0], truth)
        assert output["headings"] == {"refined": "results"}
        assert math.isnan(*output["seconds"])


def test_known_pixels_are_those_of_the_truth_and_a_line_says_where_they_were_changed(root, tmp_path, caplog):
    masks = {batch["id"][0]: batch["mask"][0] for batch in data_set(root).test_dataloader()}
    for key, truth in truths(root).items():
        changed = 1 - truth
        if key != "b":
            changed = composite(truth, changed, masks[key])
        write_picture(changed, tmp_path / "results" / f"{key}.png")
    with caplog.at_level(logging.WARNING, "inpaint.classical.others"):
        outputs = scored(root, tmp_path / "results", "LaMa")
    (line,) = caplog.messages
    assert line.startswith("LaMa: known pixels were changed, by more than JPEG does, in 1 of the pictures; ")
    assert line.endswith(": b")
    refined, truth, mask = (outputs["b"][key][0] for key in ("refined", "truth", "mask"))
    assert torch.equal(refined * (1 - mask), truth * (1 - mask))
    assert ((refined - (1 - truth)).abs() * mask).max() < 0.003
    assert outputs["b"]["headings"] == {"refined": "LaMa"}


def test_jpeg_is_no_change_of_known_pixels(tmp_path):
    """Of a photograph with much texture; moved by a pixel, it counts as changed."""
    from skimage.data import gravel

    truth = np.stack([gravel()] * 3, -1)
    Image.fromarray(truth).save(tmp_path / "a.jpg", quality=75)
    errors = [
        float((other / 255 - torch.from_numpy(truth) / 255).square().mean().sqrt())
        for other in (
            torch.from_numpy(np.array(Image.open(tmp_path / "a.jpg"))),
            torch.from_numpy(np.roll(truth, 1, 1)),
        )
    ]
    assert errors[0] < NOISE < errors[1]


# What is refused, for it would count as perfect


def test_a_picture_is_not_its_own_result_under_whatever_path(root, tmp_path):
    (tmp_path / "linked").symlink_to(root)
    (tmp_path / "hard").mkdir()
    for key, name in IDS.items():
        os.link(root / name, tmp_path / "hard" / f"{key}.png")
    for folder in (root, tmp_path / "linked", tmp_path / "hard"):
        with pytest.raises(
            UserError, match=r"^3 of the 3 test pictures have no result .*\. The picture itself does not"
        ):
            scored(root, folder)


def test_a_program_that_failed_beside_the_photos_has_no_result(root):
    pictures = data_set(root)
    pictures.setup("test")  # before there are results, which would be pictures as well
    for key in ("a", "sub__c"):
        write_picture(moved(truths(root)[key]), (root / IDS[key]).with_name(f"{IDS[key][-5]}_filled.png"))
    with pytest.raises(UserError, match=r"^1 of the 3 test pictures have no result in .*: b\.png\. "):
        scored(root, root, data=pictures)
    write_picture(moved(truths(root)["b"]), root / "b_filled.png")
    outputs = scored(root, root, data=pictures)
    assert ((outputs["b"]["refined"][0] - truths(root)["b"]) * outputs["b"]["mask"][0]).abs().max() > 0.05


def test_a_result_of_an_unreadable_picture_is_not_needed(root, tmp_path):
    make_pictures(root, [f"many/{n}.png" for n in range(100)], side=32)
    make_unreadable(root / "b.png")
    data = data_set(root)
    for one in data.test_set:
        write_picture(moved(one["picture"]), tmp_path / "results" / f"{one['id']}.png")
    (tmp_path / "results/a.png").rename(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"^1 of the 103 test pictures have no result in .*: a\.png\. "):
        scored(root, tmp_path / "results")
    (tmp_path / "a.png").rename(tmp_path / "results/a.png")
    assert len(scored(root, tmp_path / "results")) == 102


@pytest.mark.parametrize("made_for", ["the same hole", "a smaller hole", "no hole"])
def test_results_of_a_smaller_hole_and_the_truth_are_refused(root, tmp_path, made_for):
    fraction = {"the same hole": 0.5, "a smaller hole": 0.375, "no hole": None}[made_for]
    for key, truth in truths(root).items():
        mask = centre_square((32, 32), torch.Generator(), fraction=fraction) if fraction else torch.zeros(1, 32, 32)
        result = fill(truth, mask, "telea") if fraction else truth
        write_picture(result, tmp_path / "results" / f"{key}.png")
    data = data_set(root, COMMON["evaluation_hole"])
    if made_for == "the same hole":
        assert len(scored(root, tmp_path / "results", data=data)) == 3
        return
    share = {"a smaller hole": r"\d\d", "no hole": "100"}[made_for]
    with pytest.raises(
        UserError, match=rf"^{share}% of the blocks in the holes equal the truth in the results of .*results: "
    ):
        scored(root, tmp_path / "results", data=data)


def test_a_single_picture_that_was_not_filled_is_named(root, tmp_path, caplog):
    make_pictures(root, [f"many/{n}.png" for n in range(40)], side=32)
    data = data_set(root, COMMON["evaluation_hole"])
    for one in data.test_set:
        result = one["picture"] if one["id"] == "b" else moved(one["picture"])
        write_picture(result, tmp_path / "results" / f"{one['id']}.png")
    with caplog.at_level(logging.WARNING, "inpaint.classical.others"):
        assert len(scored(root, tmp_path / "results", "LaMa", data)) == 43
    assert (
        "LaMa: more than 5 % of the hole is the truth itself, as if it had not been filled, in 1 of the pictures: b"
        in (caplog.messages)
    )


def test_white_sky_may_be_hit_exactly():
    truth, mask = torch.ones(3, 16, 16), torch.zeros(1, 16, 16)
    mask[:, 4:12, 4:12] = 1
    assert unfilled(truth, truth, mask) == (0, 0)
    truth = torch.rand(3, 16, 16)
    assert unfilled(truth, truth, mask) == (49, 49)
    assert unfilled(moved(truth), truth, mask) == (0, 49)
    half = truth.clone()
    half[:, 8:] = moved(half)[:, 8:]
    assert unfilled(half, truth, mask) == (21, 49)
    assert unfilled(truth, truth, 1 - mask)[1] == 225 - 81


def test_a_results_folder_of_ours_is_refused_for_another_hole(tmp_path):
    """Also one that covers ours, where no pixel shows it."""
    telea = run(tmp_path / "telea", "model=classical", hole=("paper_square",))
    with pytest.raises(
        UserError,
        match=r"brick.refined\.png was made for the hole in .*mask\.png, but the test has another hole for brick",
    ):
        run(tmp_path / "run", "model=results", f"model.root={telea}", hole=("centre_square",))


# What a run that goes on must know


def test_the_state_changes_with_results_and_masks(root, tmp_path):
    for key, truth in truths(root).items():
        write_picture(moved(truth), tmp_path / "results" / f"{key}.png")
        write_picture((truth > 0.5).float()[:1].expand(3, -1, -1), tmp_path / "masks" / f"{key}.png")

    def states() -> tuple[str, str]:
        module = GivenResults(tmp_path / "results", None)
        data = data_set(root, MaskFolder(tmp_path / "masks", order="sorted", invert=False, area=None))
        module.trainer = trainer(tmp_path / "run")
        module.trainer.datamodule = data
        return module.evaluation_state, data.evaluation_state

    before = states()
    assert states() == before
    assert data_set(root).evaluation_state == ""
    write_picture(torch.rand(3, 32, 32), tmp_path / "results/b.png")
    assert (states()[0] == before[0], states()[1] == before[1]) == (False, True)
    before = states()
    shutil.copy2(tmp_path / "masks/b.png", tmp_path / "masks/aa.png")  # b takes it, and sub__c that of b
    assert (states()[0] == before[0], states()[1] == before[1]) == (True, False)
    before = states()
    os.utime(tmp_path / "masks/aa.png", ns=(1, 1))
    assert states()[1] != before[1]


# Inputs


def test_inputs_are_photos_with_white_holes_and_masks_of_the_same_names(root, tmp_path):
    kept = Kept()
    data = data_set(root)
    trainer(tmp_path / "run", callbacks=[kept]).test(Inputs(tmp_path / "in"), data, verbose=False)
    assert kept.outputs == [None] * 3
    found = sorted(path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("*.png"))
    assert found == [f"{folder}/{key}.png" for folder in ("masks", "photos") for key in IDS]
    for batch in data.test_dataloader():
        (key,), (picture,), (mask,) = batch["id"], batch["picture"], batch["mask"]
        assert torch.equal(read_picture(tmp_path / "in/masks" / f"{key}.png"), mask.expand(3, -1, -1))
        photo = read_picture(tmp_path / "in/photos" / f"{key}.png")
        assert torch.equal(photo * mask, mask.expand_as(photo))
        assert ((photo - picture) * (1 - mask)).abs().max() < 0.003


# The whole way


ANYWHERE = ("free_form", "data.evaluation_hole.anywhere=true")


def run(folder: Path, *overrides: str, hole: tuple[str, ...] = ANYWHERE) -> Path:
    settings = ["fit=false", "name=others", "data.test_size=64", "data.num_workers=0", "data.test_pictures=2"]
    holes = [f"hole@data.evaluation_hole={hole[0]}", *hole[1:], f"paths.output={folder}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [*settings, *holes, *overrides])
    train(cfg)
    return folder


def fill_folder(photos: Path, masks: Path, output: Path) -> int:
    """As `python -m inpaint.fill ... --dilate 0 --feather 0` by the quickest settings; its exit code."""
    app = typer.Typer()
    app.command()(fill_command)
    quick = ["--content", "telea", "--preset", "instant", "--device", "cpu", "--dilate", "0", "--feather", "0"]
    given = [str(photos), "--mask", str(masks), "--output", str(output)]
    return CliRunner().invoke(app, [*given, *quick]).exit_code


def numbers(folder: Path) -> list[str]:
    """metrics.csv without the seconds, its last column."""
    return [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]


def test_our_own_results_folder_gives_the_numbers_of_its_run_and_the_inputs_are_the_same(tmp_path):
    telea = run(tmp_path / "telea", "model=classical")
    again = run(tmp_path / "again", "model=results", f"model.root={telea}", "model.name=Telea")
    assert numbers(again) == numbers(telea)
    assert len(numbers(again)) == 3
    inputs = run(tmp_path / "in", "model=inputs")
    for key in ("brick", "grass"):
        assert (inputs / f"photos/{key}.png").read_bytes() == (telea / f"pictures/{key}/input.png").read_bytes()
        masks = (inputs / f"masks/{key}.png", telea / f"pictures/{key}/mask.png")
        assert torch.equal(*(read_picture(mask) for mask in masks))


def test_a_known_error_measures_as_such(tmp_path):
    for key in ("a", "b"):
        truth = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(ord(key)))
        write_picture(truth, tmp_path / "photos" / f"{key}.png")
        write_picture(moved(read_picture(tmp_path / f"photos/{key}.png")), tmp_path / "results" / f"{key}.png")
    own = ["data=folder", f"data.root={tmp_path}/photos", "data.split=[0,0,1]"]
    folder = run(tmp_path / "run", *own, "model=results", f"model.root={tmp_path}/results")
    lines = numbers(folder)
    assert len(lines) == 3
    for line in lines[1:]:
        measures = dict(zip(lines[0].split(","), line.split(","), strict=True))
        assert float(measures["refined_hole_l1"]) == pytest.approx(100 * 20 / 255, rel=1e-3)  # per cent
        assert float(measures["refined_hole_psnr"]) == pytest.approx(-20 * math.log10(20 / 255), abs=1e-2)
    assert (folder / "metrics.csv").read_text().splitlines()[1].endswith(",nan")


def test_our_command_fills_what_inputs_writes_and_its_results_are_measured(tmp_path):
    """As the documentation has it: model=inputs, python -m inpaint.fill, model=results."""
    bench = run(tmp_path / "bench", "model=inputs")
    assert fill_folder(bench / "photos", bench / "masks", bench / "ours") == 0
    lines = numbers(run(tmp_path / "run", "model=results", f"model.root={bench}/ours"))
    assert [line.split(",")[0] for line in lines] == ["id", "brick", "grass"]
    for key in ("brick", "grass"):  # without enlarging and feathering, the rest of the picture stays as it was
        photo, mask = (read_picture(bench / f"{folder}/{key}.png") for folder in ("photos", "masks"))
        assert torch.equal(read_picture(bench / f"ours/{key}.png") * (1 - mask), photo * (1 - mask))


def test_results_are_rows_of_a_study(tmp_path):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["+experiment=table1", "method=results", "results.root=/somewhere"]
        cfg = hydra.compose("train", given)
        assert hydra.compose("train", [*given[:1], "method=telea", *given[2:]]).model.method == "telea"
    assert (cfg.model.root, cfg.model.name, cfg.fit) == ("/somewhere", None, False)
    assert cfg.model["_target_"] == "inpaint.classical.others.GivenResults"
