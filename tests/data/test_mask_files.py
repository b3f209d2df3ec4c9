"""Holes from files: which mask a picture takes, what of it, and what is refused."""

import logging
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch.utils.data import DataLoader

from inpaint.data.loading import TrainingSampler, collate
from inpaint.data.mask_files import MaskFolder, MaskList
from inpaint.data.mask_reading import centre_hole, read_mask
from inpaint.data.pictures import EvaluationPictures, SampleKey, TrainingPictures
from inpaint.data.sets import Folder
from inpaint.errors import UserError
from tests.data.helpers import COMMON, Recorder, make_pictures, make_unreadable, trainer

CONF = Path(__file__).parents[2] / "conf"
NAMES = [f"{n:03}.png" for n in range(5)]
SIZE = (24, 28)  # of the pictures that make_pictures makes: height, width


def make_mask(path: Path, marked: tuple[int, int, int, int] = (8, 8, 16, 16), size: tuple[int, int] = SIZE) -> Path:
    """A mask of a size (height, width), white in a box: top, left, bottom, right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(size, np.uint8)
    array[marked[0] : marked[2], marked[1] : marked[3]] = 255
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    make_pictures(tmp_path / "photos", NAMES)
    return tmp_path / "photos"


@pytest.fixture
def masks(tmp_path):
    """Three masks of 16 x 16; the hole of the first is a row, of the second two, of the third three."""
    for number in (1, 2, 3):
        make_mask(tmp_path / "masks" / f"{'abc'[number - 1]}.png", (0, 0, number, 16), (16, 16))
    return tmp_path / "masks"


def from_folder(root, order="sorted", invert=False, area=None):
    return MaskFolder(root, order=order, invert=invert, area=area)


def evaluation(root, hole, names=NAMES, seed=0, size=16):
    return EvaluationPictures(root, names, size=size, hole=hole, seed=seed)


def training(root, hole, names=NAMES, size=16, crop_scale=(0.4, 1.0), **more):
    return TrainingPictures(root, names, size=size, hole=hole, seed=0, crop_scale=crop_scale, in_memory=False, **more)


def data_set(root, hole, split=(0, 0, 1), **changes):
    common = {**COMMON, "evaluation_hole": hole, **changes}
    return Folder(root, folders=["."], pattern="*", split=split, **common)


def names(data) -> list[str]:
    data.setup()
    return data._splits["test"].names


def chosen(pictures) -> list[str]:
    return [Path(path).name for path in pictures.masks]


# Sets


def test_sorted_gives_the_first_picture_the_first_mask_and_begins_again(root, masks):
    pictures = evaluation(root, from_folder(masks))
    assert chosen(pictures) == ["a.png", "b.png", "c.png", "a.png", "b.png"]
    assert [int(pictures[n]["mask"].sum()) for n in range(5)] == [16, 32, 48, 16, 32]
    assert chosen(evaluation(root, from_folder(masks), seed=5)) == chosen(pictures)


def test_drawn_depends_on_seed_and_id_alone(root, masks):
    drawn = [chosen(evaluation(root, from_folder(masks, "drawn"), seed=seed)) for seed in range(20)]
    assert drawn[3] == chosen(evaluation(root, from_folder(masks, "drawn"), seed=3))
    assert len({*map(tuple, drawn)}) > 10
    assert {name for names in drawn for name in names} == {"a.png", "b.png", "c.png"}
    alone = [chosen(evaluation(root, from_folder(masks, "drawn"), ["003.png"], seed=seed)) for seed in range(20)]
    assert alone == [[names[3]] for names in drawn]


def test_a_picture_that_takes_another_one_s_place_takes_its_mask_too(root, masks):
    make_unreadable(root / "001.png")
    sample = evaluation(root, from_folder(masks), NAMES * 40)[1]
    assert sample["unreadable"]
    assert int(sample["mask"].sum()) == 48


@pytest.mark.parametrize(
    ("area", "expected"),
    [((1 / 16, 0.2), ["b.png", "c.png"]), ((0, 1 / 8), ["a.png", "b.png"]), ((0, 1), ["a.png", "b.png", "c.png"])],
)
def test_area_takes_more_than_its_first_and_at_most_its_second_part(root, masks, area, expected, caplog):
    with caplog.at_level(logging.INFO):
        hole = from_folder(masks, area=area)
        assert hole.all(root, NAMES, 16) == [str(masks / name) for name in expected]
        assert hole.all(root, NAMES, 16) == hole.all(root, NAMES, 16)
    assert caplog.messages == [f"Measuring the holes of the 3 masks in {masks} at 16 x 16"]


def test_area_is_that_at_the_size_at_which_a_mask_is_used(root, masks):
    """At 8 x 8 one row of 16 is one of 8, and three are two."""
    hole = from_folder(masks, area=(0.1, 0.2))
    sizes = {8: ["a.png", "b.png"], 16: ["b.png", "c.png"]}
    for size, expected in sizes.items():
        assert [Path(path).name for path in hole.all(root, NAMES, size)] == expected
    data = data_set(root, hole, split=(0.2, 0.3, 0.5), test_size=8)  # validates at 16
    make_pictures(root, [f"{n:03}.png" for n in range(20)])
    data.setup()
    assert set(chosen(data._splits["test"])) == {"a.png", "b.png"}
    assert set(chosen(data._splits["val"])) == {"b.png", "c.png"}


def test_a_mask_of_nothing_or_everything_has_an_area_as_well(root, masks):
    make_mask(masks / "a.png", (0, 0, 0, 0), (16, 16))
    make_mask(masks / "c.png", (0, 0, 16, 16), (16, 16))
    assert from_folder(masks, area=(0, 0.5)).all(root, NAMES, 16) == [str(masks / "b.png")]
    with pytest.raises(UserError, match=r"c\.png marks everything as hole"):
        data_set(root, from_folder(masks, area=(0.5, 1))).setup("test")


def test_a_set_s_masks_give_their_centre_square(tmp_path):
    path = make_mask(tmp_path / "wide.png", (0, 3, 4, 12), (4, 24))
    assert centre_hole(path, 4)[0, 0].tolist() == [1, 1, 0, 0]


def test_a_pixel_of_a_smaller_mask_is_hole_if_any_that_it_covers_is(tmp_path):
    path = make_mask(tmp_path / "dot.png", (5, 9, 6, 10), (16, 16))
    small = torch.zeros(1, 4, 4)
    small[0, 1, 2] = 1
    assert torch.equal(centre_hole(path, 4), small)
    large = torch.zeros(1, 32, 32)
    large[0, 10:12, 18:20] = 1
    assert torch.equal(centre_hole(path, 32), large)


def kinds() -> dict[str, Image.Image]:
    grey = np.zeros((20, 20), np.uint8)
    grey[4:12, 6:18] = 255
    image = Image.fromarray(grey)
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (6, 4, 18, 12))
    return {
        "grey.png": image,
        "bit.png": image.convert("1"),
        "palette.png": image.convert("P"),
        "colour.bmp": image.convert("RGB"),
        "zero_one.png": Image.fromarray(grey // 255),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "clear.png": clear,
        "lossy.jpg": image,
        "faint.png": Image.fromarray(grey // 4 + 60),
    }


@pytest.mark.parametrize("name", kinds())
def test_whatever_a_mask_holds_white_is_the_hole(tmp_path, name):
    kinds()[name].save(tmp_path / name)
    mask = read_mask(tmp_path / name)
    expected = torch.zeros(1, 20, 20)
    expected[:, 4:12, 6:18] = 1
    assert torch.equal(mask, expected)
    assert mask.dtype == torch.float32
    assert torch.equal(read_mask(tmp_path / name, invert=True), 1 - expected) or name == "clear.png"


# Pairs


def test_masks_are_found_by_the_names_that_the_command_knows(root):
    folder = root.parent / "masks"
    for name in ("000.png", "001_mask.png", "002-mask.jpg", "003.png.png", "004_MASK.PNG"):
        make_mask(folder / name)
    pictures = evaluation(root, from_folder(folder, "by_name"))
    assert chosen(pictures) == ["000.png", "001_mask.png", "002-mask.jpg", "003.png.png", "004_MASK.PNG"]


def test_a_mask_is_cut_as_its_picture_is(root):
    """The pictures are the masks as well, so that every sample shows where its hole must be."""
    hole = from_folder(root.parent / "masks", "by_name")
    for number, name in enumerate(NAMES):
        for folder in (root, root.parent / "masks"):
            make_mask(folder / name, (number, 2 * number, number + 9, 2 * number + 7))
    sample = evaluation(root, hole, size=24)[3]
    assert torch.equal(sample["picture"][:1], sample["mask"])
    assert sample["mask"][0].nonzero().min(0).values.tolist() == [3, 4]  # two columns are cut off
    pictures = training(root, hole, size=24, crop_scale=(1.0, 1.0))
    samples = [collate([pictures[SampleKey(3, (0, 0, n))]]) for n in range(20)]
    assert all(torch.equal(sample["picture"][:, :1], sample["mask"]) for sample in samples)
    assert len({sample["mask"].numpy().tobytes() for sample in samples}) > 5  # other columns, mirrored


def test_training_crops_hold_hole_and_surroundings_wherever_the_hole_lies(root):
    holes = [(0, 0, 1, 1), (23, 27, 24, 28), (0, 27, 1, 28), (0, 0, 24, 27), (11, 13, 12, 14)]
    for name, marked in zip(NAMES, holes, strict=True):
        make_mask(root.parent / "masks" / name, marked)
    pictures = training(root, from_folder(root.parent / "masks", "by_name"), crop_scale=(0.3, 0.6))
    for index in range(5):
        for position in range(30):
            mask = pictures[SampleKey(index, (0, 0, position))]["mask"]
            assert 0 < mask.mean() < 1


def test_masks_among_the_pictures_are_no_pictures(root):
    for name in NAMES:
        make_mask(root / name.replace(".png", "_mask.png"))
    data = data_set(root, from_folder(root, "by_name"))
    assert names(data) == NAMES
    assert chosen(data._splits["test"]) == [f"{n:03}_mask.png" for n in range(5)]
    assert len(names(data_set(root, COMMON["evaluation_hole"]))) == 10
    split = data_set(root, from_folder(root, "by_name"), split=(0.4, 0.2, 0.4))  # a mask may be in another split
    split.setup("test")
    assert sorted(name for pictures in split._splits.values() for name in pictures.names) == NAMES


@pytest.mark.parametrize("order", ["by_name", "sorted"])
def test_a_folder_of_masks_in_that_of_the_pictures_holds_no_pictures(root, order):
    make_pictures(root, ["deep/x.jpg"])
    for name in (*NAMES, "deep/x.png"):
        make_mask(root / "masks" / name)
    (root.parent / "link").symlink_to(root / "masks")
    data = data_set(root, from_folder(root.parent / "link", order))
    assert names(data) == [*NAMES, "deep/x.jpg"]
    assert [Path(path).relative_to(root.parent / "link").as_posix() for path in data._splits["test"].masks] == [
        *NAMES,
        "deep/x.png",
    ]


def test_pictures_and_masks_in_one_of_the_folders_that_are_searched(root):
    make_pictures(root, ["deep/x.jpg"])
    make_mask(root / "deep/x_mask.png")
    data = Folder(
        root,
        folders=["deep"],
        pattern="*",
        split=(0, 0, 1),
        **{**COMMON, "evaluation_hole": from_folder(root / "deep", "by_name")},
    )
    assert names(data) == ["deep/x.jpg"]
    assert chosen(data._splits["test"]) == ["x_mask.png"]


def test_a_folder_of_some_of_the_pictures_and_their_masks_is_refused(root):
    make_pictures(root, ["x/a.png", "x/b.jpg", "y/c.png"])
    for name in ("x/a_mask.png", "x/b.png", "y/c_mask.png"):
        make_mask(root / name)

    def data(folder):
        common = {**COMMON, "evaluation_hole": from_folder(folder, "by_name")}
        return Folder(root, folders=["x", "y"], pattern="*", split=(0, 0, 1), **common)

    assert names(data(root)) == ["x/a.png", "x/b.jpg", "y/c.png"]
    with pytest.raises(
        UserError, match=r"photos/x holds pictures beside their masks, .*give the root that holds all pi"
    ):
        names(data(root / "x"))


def test_a_list_names_pairs(root):
    make_mask(root.parent / "m" / "1.png")
    make_mask(root / "inside.png", (0, 4, 2, 9))
    text = f"picture,mask\nphotos/000.png,m/1.png\n{root}/001.png, photos/inside.png\n"
    (root.parent / "pairs.csv").write_text(text + "elsewhere.png,nowhere.png\n")
    data = data_set(root, MaskList(root.parent / "pairs.csv", invert=False), test_pictures=2)
    assert names(data) == ["000.png", "001.png"]
    assert chosen(data._splits["test"]) == ["1.png", "inside.png"]
    assert names(data_set(root, MaskList(root.parent / "pairs.csv", invert=False), test_pictures=2)) == NAMES[:2]


# What is refused


@pytest.mark.parametrize(
    ("marked", "invert", "message"),
    [
        (
            (0, 0, 0, 0),
            False,
            r"a\.png marks nothing as hole, because it holds one value, 0: .* invert, which is false",
        ),
        ((0, 0, 16, 16), False, r"a\.png marks everything as hole, because it holds one value, 255"),
        ((0, 0, 16, 16), True, r"a\.png marks nothing as hole, .* invert, which is true"),
    ],
)
def test_a_mask_of_nothing_or_everything_is_refused_by_name(root, masks, marked, invert, message):
    make_mask(masks / "a.png", marked, (16, 16))
    data = data_set(root, from_folder(masks, invert=invert))
    with pytest.raises(UserError, match=message):
        data.setup("test")


@pytest.mark.parametrize(("marked", "what"), [((0, 0, 24, 1), "nothing"), ((0, 2, 24, 26), "everything")])
def test_a_mask_of_nothing_or_everything_in_what_is_tested_is_refused_by_name(root, marked, what):
    make_mask(root.parent / "masks" / "a.png", marked)
    with pytest.raises(UserError, match=rf"a\.png marks {what} in its centre square"):
        data_set(root, from_folder(root.parent / "masks")).setup("test")


def test_a_mask_of_another_size_than_its_picture_is_refused_by_name(root):
    for name in NAMES:
        make_mask(root.parent / "masks" / name, size=SIZE[::-1] if name == "003.png" else SIZE)
    hole = from_folder(root.parent / "masks", "by_name")
    message = r"003\.png is 24 x 28 pixels, but its picture .*photos/003\.png is 28 x 24: a mask must have the size"
    with pytest.raises(UserError, match=message):
        data_set(root, hole).setup("test")
    assert "another shape than its picture" in training(root, hole)[3]["fault"]
    assert "fault" not in training(root, hole)[2]


def test_pictures_without_a_mask_are_counted_and_named(root, masks):
    make_mask(masks / "001.png")
    with pytest.raises(UserError) as error:
        names(data_set(root, from_folder(masks, "by_name")))
    assert str(error.value).startswith(
        f"4 of 5 pictures cannot be given a mask of {masks}: 000.png, 002.png, 003.png, 004.png. Of the first: no mask "
        "for 000.png: looked for 000.png, 000_mask.png, "
    )
    make_pictures(root, [f"more{n}.png" for n in range(4)])
    with pytest.raises(UserError, match=r"^8 of 9 pictures .*: 000\.png, .*, more0\.png and 3 more\. Of the first"):
        names(data_set(root, from_folder(masks, "by_name")))


def test_a_test_needs_masks_of_the_test_pictures_alone_and_a_training_of_all_before_it_begins(root, masks):
    def data():
        return data_set(root, from_folder(masks, "by_name"), split=(0.3, 0.3, 0.4))

    make_pictures(root, [f"{n:03}.png" for n in range(20)])
    among = data_set(root, COMMON["evaluation_hole"], split=(0.3, 0.3, 0.4))
    for name in names(among):
        make_mask(masks / name)
    data().setup("test")
    with pytest.raises(UserError, match="cannot be given a mask"):
        data().setup("fit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photos/000.png,m.png\nphotos/000.png,m.png\n", r"pairs\.csv, line 2: .*000\.png is named a second time"),
        (
            "photos/000.png,m.png\n",
            r"^4 of 5 pictures .*pairs\.csv: 001.*Of the first: there is no line for .*001\.png",
        ),
        ("photos/000.png,gone.png\n", r"000\.png.* Of the first: .*pairs\.csv, line 1: there is no mask .*gone\.png"),
        ("photos/000.png\n", r"pairs\.csv, line 1: this is not photo,mask"),
        (None, r"expected in .*pairs\.csv, which is no file: .*data\.evaluation_hole\.file=LIST"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(root, text, message):
    make_mask(root.parent / "m.png")
    if text is not None:
        (root.parent / "pairs.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        names(data_set(root, MaskList(root.parent / "pairs.csv", invert=False)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random"}, "order is 'random', but must be sorted, drawn or by_name"),
        ({"area": (0.3, 0.2)}, r"area is \[0\.3, 0\.2\], but must be two parts"),
        ({"area": (0.1, 0.2), "order": "by_name"}, "leave it out with order=by_name"),
    ],
)
def test_impossible_settings_are_refused(masks, options, message):
    with pytest.raises(UserError, match=message):
        from_folder(masks, **options)


def test_folders_that_cannot_be_are_refused(root, masks):
    with pytest.raises(UserError, match=r"expected in .*absent, which does not exist: .*data\.evaluation_hole\.root"):
        names(data_set(root, from_folder(root.parent / "absent")))
    with pytest.raises(UserError, match=r"photos holds the pictures themselves: .*order=by_name"):
        names(data_set(root, from_folder(root)))
    with pytest.raises(UserError, match=r"no masks in .*masks of whose centre square more than 50% and at most 60%"):
        names(data_set(root, from_folder(masks, area=(0.5, 0.6))))
    (root.parent / "empty").mkdir()
    with pytest.raises(UserError, match=r"no masks in .*empty\.$"):
        names(data_set(root, from_folder(root.parent / "empty")))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_picture_s_mask_that_cannot_be_used_stops_in_one_sentence(root, workers, tmp_path):
    for name in NAMES:
        make_mask(tmp_path / "masks" / name, (0, 0, 0, 0) if name == "002.png" else (8, 8, 16, 16))
    hole = from_folder(tmp_path / "masks", "by_name")
    data = data_set(root, COMMON["evaluation_hole"], split=(1, 0, 0), training_hole=hole, num_workers=workers)
    with pytest.raises(UserError) as error:
        trainer(tmp_path / "run", limit_val_batches=0).fit(Recorder(), data)
    assert str(error.value).startswith(f"{tmp_path}/masks/002.png marks nothing as hole")
    assert "\n" not in str(error.value)


# Training


def test_training_draws_masks_and_mirrors_them_both_ways(root, masks):
    make_mask(masks / "a.png", (0, 0, 1, 1), (16, 16))
    pictures = training(root, from_folder(masks))
    drawn = [pictures[SampleKey(0, (0, 0, position))]["mask"] for position in range(200)]
    assert {int(mask.sum()) for mask in drawn} == {1, 32, 48}
    dots = {tuple(mask[0].nonzero()[0].tolist()) for mask in drawn if mask.sum() == 1}
    assert dots == {(0, 0), (0, 15), (15, 0), (15, 15)}
    assert 40 < sum(int(mask.sum()) == 32 for mask in drawn) < 95


@pytest.mark.parametrize("order", ["sorted", "by_name"])
def test_batches_do_not_depend_on_the_number_of_workers_nor_on_an_interruption(root, masks, order):
    for name in NAMES:
        make_mask(masks / name, (4, 4, 16, 20))

    def batches(workers, start=0):
        data = training(root, from_folder(masks, order))
        sampler = TrainingSampler(len(data), 12, 4, seed=0, rank=0, world_size=1)
        sampler.start = start
        return list(DataLoader(data, batch_size=4, sampler=sampler, num_workers=workers, collate_fn=collate))

    whole = batches(0)
    for others, expected in ((batches(2), whole), (batches(1, start=4), whole[1:])):
        for one, other in zip(expected, others, strict=True):
            assert one["id"] == other["id"]
            assert all(torch.equal(one[key], other[key]) for key in ("picture", "mask"))


def test_holes_can_be_sent_to_workers_started_afresh(root, masks):
    data = training(root, from_folder(masks))
    loader = DataLoader(data, batch_size=5, num_workers=1, collate_fn=collate, multiprocessing_context="spawn")
    assert next(iter(loader))["mask"].shape == (5, 1, 16, 16)


# Records and configuration


def test_a_test_writes_which_mask_each_picture_has(root, masks, tmp_path):
    model = Recorder()
    trainer(tmp_path / "run").test(model, data_set(root, from_folder(masks)), verbose=False)
    assert (tmp_path / "run/test_pictures.txt").read_text().splitlines() == NAMES
    lines = (tmp_path / "run/test_masks.txt").read_text().splitlines()
    assert lines == [str(masks / f"{'abcab'[n]}.png") for n in range(5)]
    assert [round(float(batch["mask"].mean()) * 16) for batch in model.seen["test"]] == [1, 2, 3, 1, 2]
    trainer(tmp_path / "other").test(model, data_set(root, COMMON["evaluation_hole"]), verbose=False)
    assert not (tmp_path / "other/test_masks.txt").exists()


@pytest.mark.parametrize(("name", "kind"), [("folder", MaskFolder), ("list", MaskList)])
def test_configs_build_holes_from_files(name, kind, masks):
    given = [f"data.evaluation_hole.root={masks}", "data.evaluation_hole.area=[0.1,0.2]"] if name == "folder" else []
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("data/folder", overrides=["++seed=5", f"hole@data.evaluation_hole={name}", *given]).data
    data = hydra.utils.instantiate(OmegaConf.create({"seed": 5, "data": {**config, "seed": "${seed}"}}).data)
    assert isinstance(data.evaluation_hole, kind)
    if name == "folder":
        assert (data.evaluation_hole.root, data.evaluation_hole.area) == (masks, [0.1, 0.2])
