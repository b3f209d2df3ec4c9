import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image, features
from torch.utils.data import DataLoader

from inpaint.data.listing import picture_id, picture_ids, pictures_under
from inpaint.data.loading import TrainingSampler, collate
from inpaint.data.masks import free_form, hole_generator
from inpaint.data.pictures import EvaluationPictures, SampleKey, TrainingPictures
from inpaint.errors import UserError
from inpaint.imaging.crops import centre_crop, cut, random_crop
from inpaint.imaging.reading import SUFFIXES, read_picture
from tests.data.helpers import make_pictures, make_unreadable

NAMES = [f"{n:03}.png" for n in range(5)]


@pytest.fixture
def root(tmp_path):
    make_pictures(tmp_path, NAMES)
    return tmp_path


def evaluation(root, names=NAMES, seed=0, size=24):
    return EvaluationPictures(root, names, size=size, hole=free_form, seed=seed)


def training(root, names=NAMES, seed=0, crop_scale=(0.4, 1.0), in_memory=False):
    return TrainingPictures(root, names, size=16, hole=free_form, seed=seed, crop_scale=crop_scale, in_memory=in_memory)


def equal(a, b):
    return a["id"] == b["id"] and torch.equal(a["picture"], b["picture"]) and torch.equal(a["mask"], b["mask"])


def test_evaluation_sample_is_the_centre_square_with_a_fixed_hole(root):
    sample = evaluation(root)[2]
    assert sample["id"] == "002"
    assert torch.equal(sample["picture"], read_picture(root / "002.png")[:, :, 2:26])
    assert sample["mask"].shape == (1, 24, 24)
    assert equal(sample, evaluation(root)[2])


def test_evaluation_hole_depends_on_seed_and_id_not_on_the_order_of_the_files(root):
    alone, among = evaluation(root, ["003.png"])[0], evaluation(root)[3]
    assert equal(alone, among)
    masks = [evaluation(root, seed=seed)[i]["mask"] for seed in (0, 1) for i in range(5)]
    assert len({mask.numpy().tobytes() for mask in masks}) == 10


def test_training_sample_repeats_with_its_keys_and_differs_otherwise(root):
    assert equal(training(root)[SampleKey(1, (0, 2, 3))], training(root)[SampleKey(1, (0, 2, 3))])
    keys = [(0, 2, 3), (1, 2, 3), (0, 3, 3), (0, 2, 4)]  # another rank, another epoch, another position
    samples = [training(root)[SampleKey(1, key)] for key in keys] + [training(root, seed=1)[SampleKey(1, keys[0])]]
    assert len({sample["mask"].numpy().tobytes() for sample in samples}) == 5
    assert len({sample["picture"].numpy().tobytes() for sample in samples}) == 5
    assert {tuple(sample["picture"].shape) for sample in samples} == {(3, 16, 16)}


def test_training_samples_take_a_bare_index(root):
    assert equal(training(root)[1], training(root)[SampleKey(1)])


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.5, 1.1), (0.9, 0.5)])
def test_an_impossible_crop_scale_is_refused(root, scale):
    with pytest.raises(UserError, match="crop_scale"):
        training(root, crop_scale=scale)


def coordinates(height, width):
    """A picture whose first two channels are each pixel's row and column."""
    rows, columns = torch.meshgrid(torch.arange(height) / 255, torch.arange(width) / 255, indexing="ij")
    return torch.stack([rows, columns, torch.zeros(height, width)])


def test_random_crops_reach_every_corner_keep_to_the_scale_and_flip_half_of_the_time():
    generator = torch.Generator().manual_seed(0)
    found = [cut(coordinates(40, 60), random_crop((0.5, 0.5), generator), 20) * 255 for _ in range(400)]
    tops, lefts = [{int(view[c].min().round()) for view in found} for c in (0, 1)]
    assert tops == set(range(21))
    assert lefts == set(range(41))
    assert all(view[0].max() - view[0].min() == pytest.approx(19) for view in found)
    assert 150 < sum(bool(view[1, 0, 0] > view[1, 0, -1]) for view in found) < 250


def test_random_crops_of_the_whole_scale_range():
    generator = torch.Generator().manual_seed(0)
    views = [cut(coordinates(100, 100), random_crop((0.2, 1.0), generator), 8) for _ in range(200)]
    spans = [float(view[0].mul(255).sum(1)[[0, -1]].diff()) for view in views]
    assert max(spans) / 8 == pytest.approx(7 / 8 * 100, rel=0.05)
    assert min(spans) / 8 == pytest.approx(7 / 8 * 20, rel=0.05)


@pytest.mark.parametrize(
    ("name", "decibels"),
    [("coffee.png", 45), ("rocket.jpg", 33), ("hubble_deep_field.jpg", 33)],
)
def test_training_crops_are_those_of_the_plain_way(name, decibels):
    """Pillow's decoding, cropping and resizing, one after the other, at the place that was drawn; 45 dB is rounding.

    JPEGs are decoded at a half, a quarter or an eighth of their size where crops allow it, and by faster arithmetic.
    """
    folder = Path(skimage.__file__).parent / "data"
    data = TrainingPictures(folder, [name], size=128, hole=free_form, seed=0, crop_scale=(0.35, 1.0), in_memory=False)
    with Image.open(folder / name) as file:
        image = file.convert("RGB")
    smaller = set()
    for position in range(8):
        sample = collate([data[SampleKey(0, (0, 0, position))]])
        part, *place, flip = random_crop((0.35, 1.0), hole_generator("training", 0, 0, 0, position, 0))
        parts = max(n for n in (1, 2, 4, 8) if n == 1 or (name.endswith("jpg") and min(image.size) * part >= n * 128))
        smaller.add(parts)
        size = [math.ceil(whole / parts) for whole in image.size]
        side = round(min(size) * part)
        top, left = (parts * int(d * (whole - side + 1)) for d, whole in zip(place, size[::-1], strict=True))
        box = (left, top, min(left + parts * side, image.width), min(top + parts * side, image.height))
        plain = image.crop(box).resize((128, 128), Image.Resampling.BILINEAR)
        if flip:
            plain = plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        expected = torch.from_numpy(np.array(plain)).permute(2, 0, 1) / 255
        assert sample["picture"].dtype == torch.float32
        assert (sample["picture"] - expected).square().mean() < 10 ** (-decibels / 10)
    assert len(smaller) == (2 if name.endswith("jpg") else 1)


def test_small_and_tall_pictures_are_enlarged_and_cut():
    assert centre_crop(torch.rand(3, 5, 3), 16).shape == (3, 16, 16)
    assert cut(torch.rand(3, 1, 7), random_crop((0.1, 1.0), torch.Generator()), 16).shape == (3, 16, 16)


def test_a_crop_does_not_hold_the_whole_picture_in_memory():
    square = centre_crop(torch.rand(3, 16, 500), 16)
    assert square.untyped_storage().nbytes() == 3 * 16 * 16 * 4


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "I;16", "RGBA", "LA", "1"])
def test_whatever_the_file_a_sample_is_rgb(tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 20), 32768, dtype=np.uint16))
    else:
        image = Image.new("RGB", (20, 20), (128, 128, 128)).convert(mode)
    name = "a.tif" if mode == "CMYK" else "a.png"
    image.save(tmp_path / name)
    sample = evaluation(tmp_path, [name])[0]
    assert sample["picture"].shape == (3, 24, 24)
    assert 0 <= sample["picture"].min() <= sample["picture"].max() <= 1


def test_pillow_reads_whatever_is_taken_for_a_picture_by_its_suffix():
    Image.init()
    formats = Image.registered_extensions()
    others = {".heic", ".heif", ".hif"} | (set() if features.check("avif") else {".avif"})  # by another package
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert all(formats[suffix] in {*Image.OPEN, "MPO"} for suffix in SUFFIXES if suffix not in others)


@pytest.mark.parametrize(
    "suffix", [".JPE", ".jfif", ".mpo", ".jp2", ".pbm", ".pnm", ".tga", ".ico", ".dib", ".pcx", ".sgi", ".qoi", ".xbm"]
)
def test_pictures_of_any_suffix_are_found_and_read(tmp_path, suffix):
    image = Image.new("RGB", (16, 16), (255, 255, 255)).convert("1" if suffix in (".pbm", ".xbm") else "RGB")
    image.save(tmp_path / f"a{suffix}")
    assert pictures_under(tmp_path) == [f"a{suffix}"]
    assert read_picture(tmp_path / f"a{suffix}").min() > 0.9


# Unreadable files


def many(root, unreadable, total=200):
    """A set of `total` files, of which those at the indices `unreadable` are none; the rest are the same five."""
    names = [f"sub/{n:03}.png" for n in range(total)]
    (root / "sub").mkdir()
    for number, name in enumerate(names):
        if number in unreadable:
            make_unreadable(root / name)
        else:
            (root / name).symlink_to(root / NAMES[number % 5])
    return names


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_is_replaced_by_the_next_and_named(root, workers):
    names = many(root, {3, 199})
    loader = DataLoader(evaluation(root, names), batch_size=50, num_workers=workers, collate_fn=collate)
    batches = list(loader)
    assert [len(batch["id"]) for batch in batches] == [50] * 4
    assert batches[0]["id"][2:5] == ["sub__002", "sub__004", "sub__004"]
    assert batches[3]["id"][-1] == "sub__000"
    assert [batch["unreadable"] for batch in batches] == [
        [str(root / "sub/003.png")], [], [], [str(root / "sub/199.png")]
    ]  # fmt: skip
    assert batches[0]["picture"].shape == (50, 3, 24, 24)
    assert batches[0]["mask"].shape == (50, 1, 24, 24)


def test_a_replaced_training_sample_has_the_other_pictures_id(root):
    names = many(root, {3})
    sample = training(root, names)[SampleKey(3, (0, 0, 0))]
    assert (sample["id"], sample["unreadable"]) == ("sub__004", [str(root / "sub/003.png")])


@pytest.mark.parametrize("kind", [evaluation, training])
def test_where_nothing_is_readable_the_search_ends(root, kind):
    names = many(root, set(range(200)))
    sample = kind(root, names)[10]
    assert sample == {"unreadable": [str(root / f"sub/{n:03}.png") for n in (10, 11, 12)]}
    assert collate([sample, sample]) == {"unreadable": 2 * sample["unreadable"]}


# Ids


def test_ids_are_relative_names_without_suffix():
    assert picture_ids(["a/b/c.jpg", "a.b.png", "d"]) == ["a__b__c", "a.b", "d"]


def test_clashing_ids_are_told_apart():
    names = ["a.jpg", "a.png", "b/c.png", "b__c.png", "D.png", "d.PNG", "e.png"]
    ids = picture_ids(names)
    assert len({i.casefold() for i in ids}) == len(names)
    assert ids[-1] == "e"


@pytest.mark.parametrize(
    "name", ["a b:c*?.png", "x" * 300 + ".png", "é" * 200 + ".png", 'q"<>|\\\n.jpg', "bad\udcff.png"]
)
def test_ids_are_safe_as_file_names(name, tmp_path):
    safe = picture_id(name)
    assert len(safe.encode()) <= 120
    assert not set(safe) & set(' :*?"<>|\\/\n')
    (tmp_path / safe).mkdir()


def test_names_survive_their_storage(tmp_path):
    names = ["é/b.png", "bad\udcff.png", "a.png"]
    assert evaluation(tmp_path, names).names == names


# The order of training


def sampler(rank=0, world=1, pictures=10, samples=10, batch=4, seed=0, epoch=0):
    draws = TrainingSampler(pictures, samples, batch, seed=seed, rank=rank, world_size=world)
    draws.set_epoch(epoch)
    return draws


def test_an_epoch_is_whole_batches_and_every_picture_comes():
    draws = list(sampler())
    assert len(draws) == len(sampler()) == 12
    assert {draw.picture for draw in draws[:10]} == set(range(10))
    assert [draw.place for draw in draws] == [(0, 0, position) for position in range(12)]


def test_few_pictures_come_again_only_after_all_have_come():
    order = [draw.picture for draw in sampler(pictures=3, samples=9, batch=9)]
    assert [sorted(order[start : start + 3]) for start in (0, 3, 6)] == [[0, 1, 2]] * 3


def test_the_order_repeats_with_the_seed_and_changes_with_epoch_and_seed():
    assert list(sampler(epoch=3)) == list(sampler(epoch=3))
    orders = {
        tuple(d.picture for d in sampler(epoch=e, seed=s, pictures=50, samples=50)) for e in (0, 1) for s in (0, 1)
    }
    assert len(orders) == 4


def test_ranks_share_out_the_pictures_and_never_share_keys():
    ranks = [list(sampler(rank=rank, world=3, pictures=24, samples=24)) for rank in range(3)]
    assert [len(draws) for draws in ranks] == [8, 8, 8]
    assert sorted(draw.picture for draws in ranks for draw in draws) == list(range(24))
    assert len({draw.place for draws in ranks for draw in draws}) == 24


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(root, workers):
    def batches(num_workers):
        data = training(root)
        order = TrainingSampler(len(data), 12, 4, seed=0, rank=0, world_size=1)
        return list(DataLoader(data, batch_size=4, sampler=order, num_workers=num_workers, collate_fn=collate))

    for one, other in zip(batches(0), batches(workers), strict=True):
        assert equal(one, other)


def test_samples_can_be_sent_to_workers_started_afresh(root):
    data = training(root)
    data.hole = partial(free_form, strokes=2)
    loader = DataLoader(data, batch_size=5, num_workers=1, collate_fn=collate, multiprocessing_context="spawn")
    assert next(iter(loader))["id"] == ["000", "001", "002", "003", "004"]


def test_in_memory_pictures_are_read_once_and_no_larger_than_needed(root):
    make_pictures(root, ["large.png"], side=200)
    read, kept = (training(root, ["large.png", NAMES[0]], in_memory=m) for m in (False, True))
    first = [kept[SampleKey(i, (0, 0, 1))] for i in (0, 1)]
    assert torch.equal(first[1]["picture"], read[SampleKey(1, (0, 0, 1))]["picture"])
    assert min(kept._kept[0].shape[1:]) == 40  # 16 / 0.4
    for name in ("large.png", NAMES[0]):
        (root / name).unlink()
    assert all(equal(kept[SampleKey(i, (0, 0, 1))], sample) for i, sample in enumerate(first))


def test_in_memory_skips_what_cannot_be_read(root):
    make_unreadable(root / NAMES[0])
    data = training(root, NAMES * 40, in_memory=True)
    assert data[SampleKey(0)]["unreadable"] == [str(root / NAMES[0])]
    assert data[SampleKey(0)]["id"] == "001"
