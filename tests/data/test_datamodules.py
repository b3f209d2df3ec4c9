import logging
import os
import shutil
from functools import partial
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf

from inpaint.data import datamodule, listing
from inpaint.data.datamodule import PictureDataModule
from inpaint.data.listing import pictures_under
from inpaint.data.masks import hole_generator
from inpaint.data.sets import Folder, ImageNet, ParisStreetView, Sample
from inpaint.errors import UserError
from inpaint.imaging.reading import write_picture
from tests.data.helpers import COMMON, Recorder, make_pictures, make_unreadable, trainer

CONF = Path(__file__).parents[2] / "conf"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(listing.platformdirs, "user_cache_path", lambda name: folder / name)
    return folder


@pytest.fixture
def root(tmp_path):
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def folder(root, folders=(".",), pattern="*", split=(0.6, 0.2, 0.2), **changes):
    return Folder(root, folders=folders, pattern=pattern, split=split, **{**COMMON, **changes})


def imagenet(root, test_seed=0, validation_pictures=3, **changes):
    changes = {"test_pictures": 5, **changes}
    return ImageNet(root, test_seed=test_seed, validation_pictures=validation_pictures, **{**COMMON, **changes})


def paris(root, validation_pictures=2, train_folder="paris_train_original", **changes):
    own = {"validation_pictures": validation_pictures, "train_folder": train_folder}
    return ParisStreetView(root, **own, **{**COMMON, **changes})


def names(data: PictureDataModule) -> dict[str, list[str]]:
    data.setup()
    return {split: pictures.names for split, pictures in data._splits.items()}


def ids_of_the_test(data: PictureDataModule) -> list[str]:
    data.setup()
    return data._splits["test"].ids


# Loaders


def test_batches_of_every_stage_have_their_shapes(root, tmp_path):
    make_pictures(root, [f"{n:02}.png" for n in range(40)])
    data = folder(root)
    model, run = Recorder(), trainer(tmp_path)
    run.fit(model, data)
    run.test(model, data, verbose=False)
    counts = {split: len(found) for split, found in names(data).items()}
    for stage, side, size in (("train", 16, 4), ("val", 16, 4), ("test", 32, 1)):
        first = model.seen[stage][0]
        assert set(first) == {"id", "picture", "mask"}
        assert first["picture"].shape == (size, 3, side, side)
        assert first["mask"].shape == (size, 1, side, side)
        assert len(first["id"]) == size
    assert sum(len(batch["id"]) for batch in model.seen["train"]) == -(-counts["train"] // 4) * 4
    assert [batch["id"][0] for batch in model.seen["test"]] == ids_of_the_test(data)
    assert (tmp_path / "test_pictures.txt").read_text().splitlines() == names(data)["test"]


def test_epochs_differ_and_a_run_repeats(root, tmp_path):
    make_pictures(root, [f"{n}.png" for n in range(4)])

    def epochs():
        model, run = Recorder(), trainer(tmp_path)
        run.fit_loop.max_epochs = 2
        data = folder(root, split=(1, 0, 0), num_workers=1)
        run.fit(model, train_dataloaders=data.train_dataloader())
        return [batch["picture"] for batch in model.seen["train"]]

    first, second = epochs()
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    assert all(torch.equal(a, b) for a, b in zip(epochs(), (first, second), strict=True))


def test_samples_per_epoch_and_test_pictures(root):
    make_pictures(root, [f"{n:02}.png" for n in range(30)])
    data = folder(root, samples_per_epoch=50, test_pictures=2)
    assert len(data.train_dataloader()) == 13
    assert ids_of_the_test(data) == ids_of_the_test(folder(root))[:2]
    assert len(data.test_dataloader()) == 2


def test_each_rank_draws_its_own(root):
    make_pictures(root, [f"{n:02}.png" for n in range(8)])
    batches = []
    for rank in range(2):
        data = folder(root, split=(1, 0, 0))
        data.trainer = type("Trainer", (), {"global_rank": rank, "world_size": 2})()
        (batch,) = data.train_dataloader()
        batches.append(batch)
    assert not set(batches[0]["id"]) & set(batches[1]["id"])


def test_overfit_batches_works(root, tmp_path):
    make_pictures(root, [f"{n:02}.png" for n in range(30)])
    model = Recorder()
    trainer(tmp_path, overfit_batches=1).fit(model, folder(root))
    assert len(model.seen["train"]) == 1


def test_a_wrong_hole_is_refused_before_any_worker_starts(root):
    make_pictures(root, ["a.png"])
    data = folder(root, evaluation_hole=lambda size, generator: listing._refuse(OSError(0, "no hole")))
    with pytest.raises(UserError, match="no hole"):
        data.setup()


def test_holes_are_drawn_without_hydra_s_checks_at_every_call(root):
    hole = hydra.utils.instantiate({"_target_": "inpaint.data.masks.mixed", "_partial_": True, "fraction": 0.25})
    data = folder(root, training_hole=hole)
    assert type(data.training_hole) is partial
    masks = [draw((64, 64), hole_generator(1)) for draw in (hole, data.training_hole)]
    assert torch.equal(*masks)


# Unreadable files


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_files_are_skipped_counted_and_named_once(root, tmp_path, caplog, workers):
    make_pictures(root, [f"{n:03}.png" for n in range(100)], side=8)
    make_unreadable(root / "050.png")
    model, run = Recorder(), trainer(tmp_path, limit_val_batches=0)
    run.fit_loop.max_epochs = 2
    data = folder(root, split=(1, 0, 0), num_workers=workers, batch_size=20)
    with caplog.at_level(logging.WARNING, "inpaint.data.datamodule"):
        run.fit(model, data)
    assert data.unreadable["train"] == [str(root / "050.png")]
    own = [record.getMessage() for record in caplog.records if record.name == datamodule.__name__]
    assert own == [f"Unreadable files skipped: 1: {root / '050.png'}"]
    assert len(model.seen["train"]) == 10
    assert all(len(batch["id"]) == 20 and "unreadable" not in batch for batch in model.seen["train"])


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_one_per_cent_unreadable_stops_with_the_list(root, tmp_path, workers):
    make_pictures(root, [f"{n:03}.png" for n in range(100)], side=8)
    for bad in ("050.png", "070.png"):
        make_unreadable(root / bad)
    with pytest.raises(UserError, match=r"2 of the 100 files in the test split .*050\.png, .*070\.png$"):
        trainer(tmp_path).test(Recorder(), folder(root, split=(0, 0, 1), num_workers=workers), verbose=False)


def test_a_set_without_a_readable_file_stops(root, tmp_path):
    for n in range(5):
        make_unreadable(root / f"{n}.png")
    data = folder(root, split=(1, 0, 0))
    with pytest.raises(UserError, match="of the 5 files in the train split cannot be read"):
        trainer(tmp_path, limit_val_batches=0).fit(Recorder(), data)


def test_an_interrupted_run_names_the_unreadable_too(root, caplog):
    make_pictures(root, [f"{n:03}.png" for n in range(100)], side=8)
    data = folder(root, split=(0, 0, 1))
    data.setup()
    data._count("test", ["x.png"])
    data.on_exception(KeyboardInterrupt())
    data.teardown("test")
    assert caplog.messages == ["Unreadable files skipped: 1: x.png"]


# Folder


def test_folder_splits_by_name_so_that_more_pictures_move_none(root):
    first = [f"{'abc'[n % 3]}/{n:03}.png" for n in range(60)]
    make_pictures(root, first, side=4)
    before = names(folder(root))
    make_pictures(root, [f"d/{n}.png" for n in range(40)], side=4)
    after = names(folder(root))
    for split in ("train", "val", "test"):
        assert [name for name in after[split] if not name.startswith("d/")] == before[split]
        assert before[split]
    assert sorted(before["train"] + before["val"] + before["test"]) == sorted(first)
    assert 45 < len(after["train"]) < 75


def test_folder_finds_any_suffix_and_case_and_leaves_out_the_rest(root):
    make_pictures(root, ["a.JPG", "deep/er/b.jpeg", "c.webp", ".hidden.png", "._a.JPG", ".git/d.png"], side=4)
    (root / "notes.txt").write_text("no picture")
    (root / "deep" / "loop").symlink_to(root)
    make_pictures(root.parent / "elsewhere", ["e.png"])
    (root / "link").symlink_to(root.parent / "elsewhere")
    assert pictures_under(root) == ["a.JPG", "c.webp", "deep/er/b.jpeg", "link/e.png"]


def test_folder_pattern_and_a_split_that_is_all_test(root):
    make_pictures(root, ["real_1.png", "real_2.png", "published_1.png"], side=4)
    assert ids_of_the_test(folder(root, pattern="real_*.png", split=(0, 0, 1))) == ["real_1", "real_2"]
    assert names(folder(root, split=(1, 0, 0)))["test"] == []
    assert names(folder(root, split=(0.3, 0.7, 0)))["test"] == []


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.5, -0.5, 0)])
def test_folder_refuses_a_split_that_is_none(root, split):
    with pytest.raises(UserError, match=r"data\.split"):
        folder(root, split=split)


# Paris StreetView


def test_paris_street_view_is_found_as_distributed(root):
    training = [f"paris_train_original/paris_train_original/{n}.JPG" for n in range(30)]
    make_pictures(root, [*training, "paris_eval/paris_eval_gt/001_im.png", "paris_eval/paris_eval_gt/002_im.png"])
    data = paris(root)
    found = names(data)
    assert ids_of_the_test(data) == ["001_im", "002_im"]
    assert (len(found["train"]), len(found["val"])) == (28, 2)
    assert not set(found["train"]) & set(found["val"])
    assert found["train"][0].startswith("paris_train_original/")
    assert next(iter(data.train_dataloader()))["picture"].shape == (4, 3, 16, 16)


def test_paris_street_view_is_trained_on_another_folder(root):
    make_pictures(root, [f"fronts/{n}.jpg" for n in range(30)])
    make_pictures(root, ["paris/paris_eval/paris_eval_gt/001_im.png"])
    found = names(paris(root / "paris", train_folder="../fronts"))
    assert {split: len(list_) for split, list_ in found.items()} == {"train": 28, "val": 2, "test": 1}


def test_paris_street_view_tests_without_training_pictures_and_says_so_when_asked_to_train(root, tmp_path):
    make_pictures(root, ["paris_eval/paris_eval_gt/001_im.png"])
    (root / "paris_train_original").mkdir()
    model = Recorder()
    trainer(tmp_path).test(model, paris(root), verbose=False)
    assert [batch["id"] for batch in model.seen["test"]] == [["001_im"]]
    with pytest.raises(UserError, match=r"train split .*paris_train_original.* on request .*data=sample") as error:
        trainer(tmp_path).fit(model, paris(root))
    assert "\n" not in str(error.value)


# ImageNet


@pytest.fixture
def classes(root):
    make_pictures(root, [f"train/n{c:02}/{n}.JPEG" for c in range(5) for n in range(10)], side=8)
    make_pictures(root, [f"val/n{c:02}/v{n}.JPEG" for c in range(5) for n in range(4)], side=8)
    return root


def test_imagenet_draws_its_test_pictures_from_val_with_a_seed_of_their_own(classes):
    found = names(imagenet(classes))
    assert len(found["test"]) == 5
    assert found["test"] == sorted(found["test"])
    assert names(imagenet(classes, seed=99)) == found
    assert names(imagenet(classes, test_seed=1))["test"] != found["test"]
    assert len(names(imagenet(classes, test_pictures=None))["test"]) == 20
    assert ids_of_the_test(imagenet(classes))[0] == found["test"][0].removesuffix(".JPEG").replace("/", "__")


def test_imagenet_validates_on_held_out_training_pictures(classes):
    found = names(imagenet(classes))
    assert (len(found["train"]), len(found["val"])) == (47, 3)
    assert not set(found["train"]) & set(found["val"])
    assert len(names(imagenet(classes, validation_pictures=1000))["val"]) == 5  # a tenth


def test_imagenet_is_listed_once_and_again_after_a_change(classes, cache, monkeypatch):
    first = names(imagenet(classes))
    assert list(cache.glob("*/index_*.json"))
    scans, scandir = [], os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: scans.append(path) or scandir(path))
        assert names(imagenet(classes)) == first
    assert scans == [classes / "train", classes / "val"]  # the class folders' times, not their files
    make_pictures(classes, ["train/n00/new.JPEG"])
    assert len(names(imagenet(classes))["train"]) == 48
    shutil.rmtree(classes / "train" / "n04")
    assert len(names(imagenet(classes))["train"]) == 38


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 1, "stamp": 2, "names": 3}', "\udcff"])
def test_a_damaged_cache_is_ignored(classes, cache, content):
    first = names(imagenet(classes))
    for path in cache.glob("*/index_*.json"):
        path.write_bytes(content.encode(errors="surrogateescape"))
    assert names(imagenet(classes)) == first


def test_a_cache_that_cannot_be_written_costs_time_only(classes, cache):
    cache.write_text("a file in the way")
    assert len(names(imagenet(classes))["train"]) == 47


def test_imagenet_writes_nothing_into_its_folder(classes):
    before = sorted(classes.rglob("*"))
    imagenet(classes).setup()
    assert sorted(classes.rglob("*")) == before


# Sample


def test_sample_reads_every_picture_and_never_tests_on_what_it_trains_on(tmp_path):
    found = names(Sample(**COMMON))
    assert len(found["test"]) >= 4
    assert sum(map(len, found.values())) == len(set().union(*found.values()))
    model, run = Recorder(), trainer(tmp_path)
    run.test(model, Sample(**COMMON), verbose=False)
    run.validate(model, Sample(**COMMON), verbose=False)
    assert {i for batch in model.seen["test"] for i in batch["id"]} == {"brick", "grass", "gravel", "hubble_deep_field"}
    batch = next(iter(Sample(**{**COMMON, "samples_per_epoch": 12, "batch_size": 12}).train_dataloader()))
    assert {name.split(".")[0] for name in found["train"]} == set(batch["id"])
    assert batch["unreadable"] == []


def test_sample_says_which_photograph_the_wheel_lacks(monkeypatch):
    monkeypatch.setattr(Sample, "VAL", ["cathedral.png"])
    with pytest.raises(UserError, match=r"lacks cathedral\.png: reinstall scikit-image"):
        Sample(**COMMON).setup()


def test_a_number_that_is_too_small_is_one_sentence():
    with pytest.raises(UserError, match=r"data\.test_pictures is 0, but must be a whole number of at least 1\.$"):
        Sample(**COMMON | {"test_pictures": 0})
    with pytest.raises(UserError, match=r"data\.test_size is 2, but must be a whole number of at least 8\.$"):
        Sample(**COMMON | {"test_size": 2})  # no hole has room in its middle


# What is missing


@pytest.mark.parametrize("make", [paris, imagenet, folder])
def test_a_missing_set_is_one_sentence(make, tmp_path):
    with pytest.raises(
        UserError, match=r"expected in .*absent.*data\.root.*; data=sample works without it\.$"
    ) as error:
        make(tmp_path / "absent").setup("fit")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "absent") in str(error.value)


@pytest.mark.parametrize("make", [paris, imagenet, folder])
@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_an_empty_set_is_one_sentence(make, loader, root):
    with pytest.raises(UserError, match=r"no pictures .*data=sample works without it\.$"):
        getattr(make(root), loader)()


def test_a_folder_can_be_listed_without_those_inside(root):
    make_pictures(root, ["b.png", "a.PGM", "deep/c.png", ".hidden.png", "real_1.png"], side=4)
    (root / "folder.png").mkdir()
    assert pictures_under(root, recursive=False) == ["a.PGM", "b.png", "real_1.png"]
    assert pictures_under(root, "real_*", recursive=False) == ["real_1.png"]
    assert pictures_under(root / "absent") == []


@pytest.mark.parametrize(("make", "closed"), [(paris, "paris_train_original"), (imagenet, "train/n1"), (folder, "a")])
def test_a_folder_that_may_not_be_listed_is_named(make, closed, root, monkeypatch):
    (root / closed).mkdir(parents=True)
    scandir = os.scandir

    def refuse(path):
        if Path(path) == root / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # file modes do not stop a test that runs as root
    with pytest.raises(UserError, match=f"{closed} cannot be listed: Permission denied"):
        make(root).setup()


@pytest.mark.parametrize("make", [paris, imagenet, folder])
def test_a_root_in_the_home_folder_is_found(make, tmp_path, monkeypatch):
    """No shell expands the tilde of data.root=~/pictures."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make("~/pictures").root == tmp_path / "pictures"


# Configuration


@pytest.mark.parametrize("name", ["paris_streetview", "imagenet", "folder", "sample"])
def test_every_config_builds_its_data_set_and_names_every_setting(name):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose(f"data/{name}", overrides=["++seed=5"]).data
    config = OmegaConf.create({"seed": 5, "data": {**config, "seed": "${seed}"}}).data
    data = hydra.utils.instantiate(config)
    assert data.seed == 5
    assert (data.training_size, data.test_size, data.crop_scale) == (128, 512, (0.35, 1.0))
    mask = data.evaluation_hole((128, 128), torch.Generator())
    assert mask.sum() == 56 * 56
    if name == "sample":
        data.setup()
    else:
        with pytest.raises(UserError, match=r"data=sample works without it"):
            data.setup()


# The pictures beside the project, where they are


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_real_samples_are_found():
    assert len(ids_of_the_test(paris(SHARED / "paris_streetview_sample"))) == 14
    found = names(imagenet(SHARED / "imagenet_sample", validation_pictures=1000, test_pictures=200))
    assert {split: len(list_) for split, list_ in found.items()} == {"train": 810, "val": 90, "test": 100}
    data = folder(SHARED / "authors_examples", pattern="real_*.png", split=(0, 0, 1), test_size=512)
    assert ids_of_the_test(data) == [f"real_{n:04}" for n in (13, 18, 19, 22, 23, 25, 29, 32)]
    assert next(iter(data.test_dataloader()))["picture"].shape == (1, 3, 512, 512)


def test_folder_searches_only_the_folders_named(tmp_path):
    """Each picture once, also where one folder lies in another; names stay relative to the root."""
    for name in ("a/x.png", "a/deep/y.png", "b/z.png", "c/w.png"):
        write_picture(torch.rand(3, 8, 8), tmp_path / name)
    data = folder(tmp_path, folders=("a", "a/deep", "b"), split=(0, 0, 1))
    assert ids_of_the_test(data) == ["a__deep__y", "a__x", "b__z"]
    with pytest.raises(UserError, match=r"missing, which does not exist"):
        folder(tmp_path, folders=("a", "missing")).setup()
