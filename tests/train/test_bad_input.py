"""Whatever a user, a disk or a network gets wrong: a sentence, or a run that goes on."""

import copy
import errno
import io
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from inpaint.data import pictures
from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.runs.checkpoint_files import read_checkpoint
from inpaint.runs.wandb_log import wandb_logger
from inpaint.train import run as entry
from inpaint.train.types import check_types
from tests.content.helpers import tiny_gan
from tests.runs.test_resume import TRAINING, command, training
from tests.train.test_train import composed, small

SMALL = small(["+experiment=content", "data=sample", "logger=csv", "callbacks=averaged"])
REFINE = small(["+experiment=refine", "data=sample", "logger=csv", "data.test_size=128"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=-1", "seed is -1"),
        ("fit=maybe", "fit is 'maybe', but must be true or false."),
        ("ckpt_path=3", "ckpt_path is 3"),
        ("name=[a,b]", "name is ['a', 'b'], but must be text"),
        ("callbacks.results.name={a: 1}", "callbacks.results.name is {'a': 1}, but must be text"),
        ("callbacks.best.monitor=-1", "callbacks.best.monitor is -1"),
        ("logger.csv.name=null", "logger.csv.name is None"),
        ("trainer.devices=banana", "trainer cannot be built"),
        ("trainer.log_every_n_steps=[1]", "trainer.log_every_n_steps is [1]"),
        ("data.training_hole._partial_=banana", "_partial_ flag must be a bool"),
        ("model.optimizer_g._partial_=null", "_partial_ flag must be a bool"),
        ("data.batch_size=0", "data.batch_size is 0"),
        ("data.batch_size=many", "data.batch_size is 'many'"),
        ("data.num_workers=-1", "data.num_workers is -1"),
        ("data.training_size=64", "works at 128 x 128, but the picture is 64 x 64"),
        ("data.test_size=0", "data.test_size is 0"),
        ("data.samples_per_epoch=0", "data.samples_per_epoch is 0"),
        ("data.test_pictures=2.5", "data.test_pictures is 2.5"),
        ("data.seed=null", "data.seed is None"),
        ("data.crop_scale=[0.5,2]", "crop_scale is"),
        ("data.crop_scale=1", "data.crop_scale is 1, but must be a list"),
        ("data.training_hole.fraction=2", "fraction is 2"),
        ("data.evaluation_hole.fraction=0", "fraction is 0"),
        (
            "+data.training_hole.size_=3",
            "inpaint.data.masks.centre_square takes no size_ (data.training_hole.size_)",
        ),
        ("data.training_hole._target_=inpaint.data.masks.star", "star"),
        ("model.lambda_rec=-1", "lambda_rec is -1"),
        ("model.lambda_adv=nan", "lambda_adv is nan"),
        ("model.ring_weight=inf", "ring_weight is inf"),
        ("model.warm_up=banana", "warm_up is 'banana', but must be a whole number"),
        ("model.mean_colour=[117,104,123]", "mean_colour"),
        ("model.generator.filters=0", "generator has a layer of width 0"),
        ("model.generator.filters=-4", "generator has a layer of width -4"),
        ("model.generator.filters=wide", "model.generator.filters is 'wide', but must be a whole number."),
        ("model.generator.middle=none", "middle"),
        ("model.discriminator.filters=0", "discriminator has a layer of width 0"),
        ("model.optimizer_g.lr=-1", "Invalid learning rate"),
        ("model.optimizer_g.lr=inf", "learning rate is not finite"),
        ("model.optimizer_d.betas=[]", "optimizer"),
        ("model.optimizer_d=null", "no optimizer_d"),
        ("model.scheduler=3", "scheduler is 3"),
        ("trainer.max_epochs=2.5", "trainer.max_epochs is 2.5"),
        ("trainer.max_epochs=-5", "max_epochs"),
        ("trainer.devices=0", "devices"),
        ("trainer.precision=7", "trainer.precision is 7, but must be 64, 32, 16, "),
        ("trainer.accelerator=abacus", "abacus"),
        ("trainer.accelerator=gpu", "gpu"),
        ("trainer.strategy=abacus", "abacus"),
        ("trainer.strategy=ddp_spawn", "trainer.strategy is ddp_spawn, but"),
        ("trainer.num_nodes=0", "`num_nodes` must be a positive integer"),
        ("trainer.num_nodes=2", "nothing says where the other machines are"),
        ("trainer.profiler=abacus", "profiler"),
        ("callbacks.panel=3", "3 cannot be built"),
        ("callbacks.results.gallery_rows=0", "gallery_rows is 0"),
        ("callbacks.panel.pictures=some", "panel.pictures is 'some'"),
        ("callbacks.best.monitor=beauty", "beauty"),
        ("callbacks.averaging.decay=2", "decay is 2"),
        ("callbacks.checkpoints.keep=0", "keep is 0"),
        ("callbacks.checkpoints.keep=1.5", "keep is 1.5, but must be a whole number."),
        ("callbacks.checkpoints.keep=many", "keep is 'many', but must be a whole number."),
        ("callbacks.checkpoints.every_n_minutes=[1]", "every_n_minutes is [1]"),
    ],
)
def test_a_value_out_of_range(override: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        entry.train(composed(tmp_path, [*SMALL, override]))
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.preset.alpha=-1", "alpha is -1"),
        ("model.preset.beta=nan", "beta is nan"),
        ("model.preset.scales=0", "scales is 0"),
        ("model.preset.iterations=1.5", "model.preset.iterations is 1.5, but must be a whole number."),
        ("model.preset.rounds=none", "model.preset.rounds is 'none', but must be a whole number."),
        ("model.preset.layers=[]", "layers is empty"),
        ("model.preset.layers=[relu9_1]", "no layer 'relu9_1'"),
        ("model.preset.content_layer=sky", "no layer 'sky'"),
        ("model.preset.rule=best", "model.preset.rule is 'best', but must be ncc or l2."),
        ("model.preset.scales=9", "too small"),
        ("model.precision=int8", "no precision 'int8'"),
        ("data.evaluation_hole.fraction=1", "fraction is 1"),
    ],
)
def test_a_value_out_of_range_in_the_refinement(override: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        entry.train(composed(tmp_path, [*REFINE, override]))


def leaves(node: Any, key: str = "") -> Iterator[str]:
    """The keys of all values that are not themselves made of keys."""
    if not isinstance(node, dict):
        yield key
        return
    for name, value in node.items():
        yield from leaves(value, f"{key}.{name}" if key else name)


@pytest.mark.parametrize(("overrides", "part"), [(SMALL, ""), (REFINE, "model.preset")])
def test_nonsense_in_any_key_is_a_sentence(overrides: list[str], part: str, tmp_path: Path) -> None:
    """A list, which belongs almost nowhere; without training or test there is time for every key."""
    cfg = composed(tmp_path, [*overrides, "fit=false", "test=false"])
    entry.train(cfg)
    keys = [key for key in leaves(OmegaConf.to_container(cfg)) if key.startswith(part)]
    told = {}
    for key in keys:
        changed = copy.deepcopy(cfg)
        OmegaConf.update(changed, key, [1, 2])
        try:
            entry.train(changed)
        except UserError as error:
            told[key] = str(error)
    assert len(told) > len(keys) / 2
    assert not [sentence for sentence in told.values() if "\n" in sentence]


VALUES = st.sampled_from(["-1", "0", "1", "2.5", "nan", "inf", "null", "[]", "abc", "true", "{}", "''"])
KEYS = [
    "seed",
    "data.batch_size",
    "data.test_size",
    "data.crop_scale",
    "data.samples_per_epoch",
    "data.evaluation_hole.fraction",
    "model.lambda_adv",
    "model.mean_colour",
    "model.generator.bottleneck",
    "model.generator.middle",
    "model.optimizer_g.lr",
    "model.optimizer_g.betas",
    "model.weights",
    "trainer.log_every_n_steps",
    "callbacks.averaging.decay",
    "callbacks.checkpoints.every_n_minutes",
    "callbacks.best.monitor",
    "logger.csv.name",
    "model.warm_up",
    "name",
]
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=2))
@settings(max_examples=25, suppress_health_check=QUIET)
def test_any_values_are_refused_or_give_whole_results(tmp_path: Path, changes: dict[str, str]) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        entry.train(composed(folder, [*SMALL, *(f"{key}={value}" for key, value in changes.items())]))
    except (UserError, HydraException):  # the command says either in a sentence
        return
    state = read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.isfinite(value).all() for value in state.values())
    assert (folder / "metrics.json").is_file()


# Checkpoints


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    training(folder, "trainer.max_epochs=1")
    return folder / "checkpoints" / "last.ckpt"


class Code:
    """Unpickled, it would make a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inpaint": {"format": 99}}, "later version"),
        ({"loops": None}, "no checkpoint of a training"),
        ({"hyper_parameters": Code}, "cannot be read as a checkpoint of tensors: .* which could run code"),
        ({"hyper_parameters": {"_instantiator": "os.mkdir", "_target_": "os.mkdir"}}, None),
        ({"state_dict": {"generator.x": torch.ones(2)}}, "another content network"),
    ],
)
def test_a_checkpoint_that_is_not_ours(change: dict, sentence: str | None, trained: Path, tmp_path: Path) -> None:
    state = torch.load(trained, weights_only=True)
    for key, value in change.items():
        if value is None:
            del state[key]
        elif value is Code:
            state[key] = Code(tmp_path / "ran")
        else:
            state[key] = value
    torch.save(state, tmp_path / "changed.ckpt")
    if sentence is None:
        training(tmp_path, f"ckpt_path={tmp_path / 'changed.ckpt'}")
    else:
        with pytest.raises(UserError, match=sentence):
            training(tmp_path, f"ckpt_path={tmp_path / 'changed.ckpt'}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("override", ["model.generator.filters=8", "model.generator.middle=channel_wise"])
def test_a_checkpoint_of_another_architecture(override: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds another content network"):
        training(tmp_path, override, f"ckpt_path={trained}")


@given(st.data())
@settings(max_examples=30, suppress_health_check=QUIET)
def test_a_checkpoint_with_bytes_changed(trained: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Refused, or (in the archive's own padding) read as it was."""
    content = bytearray(trained.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "changed.ckpt").write_bytes(content)
    try:
        state = read_checkpoint(tmp_path / "changed.ckpt")
    except UserError:
        return
    same = read_checkpoint(trained)["state_dict"]
    assert all(torch.equal(value, same[name]) for name, value in state["state_dict"].items())


# Pictures


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8))


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]), st.data())
@settings(max_examples=80, suppress_health_check=QUIET)
def test_a_picture_file_with_bytes_changed(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    noise().save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content
    (tmp_path / "changed").write_bytes(content)
    try:
        picture = read_picture(tmp_path / "changed")
    except UserError:
        return
    assert picture.shape[0] == 3
    assert 0 <= picture.min() <= picture.max() <= 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 128), st.integers(0, 127), st.integers(0, 127))
@settings(max_examples=25)
def test_any_hole_is_filled_or_refused(seed: int, side: int, top: int, left: int) -> None:
    torch.manual_seed(0)
    module = tiny_gan().eval()
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., top : top + side, left : left + side] = 1
    try:
        with torch.no_grad():
            filled = module(picture, mask)
    except UserError:
        assert top < 32 or left < 32 or max(top, left) + side > 96
    else:
        assert torch.equal(filled * (1 - mask), picture * (1 - mask))
        assert torch.isfinite(filled).all()


def folder_of_pictures(folder: Path, count: int = 8, size: tuple[int, int] = (80, 60)) -> list[str]:
    for i in range(count):
        folder.mkdir(exist_ok=True)
        noise(i).resize(size).save(folder / f"p{i}.png")
    return [*SMALL, "data=folder", f"data.root={folder}", "data.split=[0.5,0.25,0.25]", "data.num_workers=0"]


def test_data_that_is_empty_unreadable_or_too_small(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = [("empty", 0, (80, 60), "no pictures of the train split"), ("tiny", 8, (7, 40), "smaller than 8 pixels")]
    for name, count, size, sentence in cases:
        with pytest.raises(UserError, match=sentence):
            entry.train(composed(tmp_path, folder_of_pictures(tmp_path / name, count, size)))
    overrides = folder_of_pictures(tmp_path / "torn")
    for path in (tmp_path / "torn").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"cannot be read .* repair or remove them: .*p\d\.png"):
        entry.train(composed(tmp_path, overrides))


def test_a_folder_emptied_during_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = folder_of_pictures(tmp_path / "mine")
    read, calls = pictures.read_pixels, []

    def emptied(path: Path, *rest: Any) -> torch.Tensor:
        calls.append(path)
        if len(calls) == 5:
            shutil.rmtree(tmp_path / "mine")
        return read(path, *rest)

    monkeypatch.setattr(pictures, "read_pixels", emptied)
    with pytest.raises(UserError, match="cannot be read"):
        entry.train(composed(tmp_path / "run", [*overrides, "data.samples_per_epoch=20"]))


# Disks


def test_a_disk_that_fills_up_under_a_checkpoint(tmp_path: Path) -> None:
    """In a process whose files may have no more than 300 kB; the checkpoint has more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        done = command(*TRAINING, "data.num_workers=0", f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 2
    assert "could not be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(
    "name", ["content.png", "metrics.csv", "metrics.json", "gallery.png", "config.yaml", "last.ckpt"]
)
def test_a_disk_that_is_full(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == ("next.ckpt" if name == "last.ckpt" else name):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"could not be written: No space left on device"):
        entry.train(composed(tmp_path, SMALL))
    assert not list(tmp_path.rglob("*.part*"))
    assert [path.parent.name for path in tmp_path.rglob(name)] in ([], ["logs"])  # the log has the name of a result


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command(*SMALL, f"hydra.run.dir={tmp_path}/file/run", cwd=tmp_path)
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_of_one_second_keep_apart() -> None:
    text = (CONF / "train.yaml").read_text()
    assert text.count("%S-%f}") == 2


# W&B


@pytest.fixture
def wandb_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    wandb.teardown()  # it reads its variables once a process
    yield {"save_dir": tmp_path, "project": "p", "name": "n", "group": "g", "job_type": "t"}
    wandb.finish()
    wandb.teardown()


def test_wandb_out_of_reach_is_logged_offline(wandb_settings: dict, capsys: pytest.CaptureFixture[str]) -> None:
    wandb_logger(**wandb_settings).log_metrics({"a": 1.0}, 0)
    assert "logged offline" in capsys.readouterr().out
    assert list(wandb_settings["save_dir"].glob("wandb/offline-run-*"))


def test_wandb_that_cannot_start_is_left_out(
    wandb_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start = wandb.init

    def refuse(*_: Any, **given: Any) -> Any:
        if given.get("mode") == "disabled":
            return start(**given)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(wandb, "init", refuse)
    entry.train(composed(tmp_path, small(["+experiment=content", "data=sample"])))
    said = capsys.readouterr().out
    assert "logged offline" in said
    assert "logged without it" in said
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.parametrize("key", ["project", "name", "group", "tags", "save_dir"])
@pytest.mark.parametrize("value", ["{a: 1}", "[[a]]"])
def test_wrong_types_for_wandb(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"logger\.wandb\.{key} is .*, but must be (text|a list)"):
        check_types(composed(tmp_path, ["logger=wandb", f"logger.wandb.{key}={value}"]))


def test_what_wandb_itself_refuses(wandb_settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"W&B refuses what logger\.wandb says: Invalid project name 'a/b'"):
        wandb_logger(**wandb_settings | {"project": "a/b"}).log_metrics({"a": 1.0}, 0)


def test_wandb_takes_numbers_for_texts(wandb_settings: dict[str, Any]) -> None:
    given = {"name": 5, "group": 7, "job_type": 0.5, "project": 3, "tags": [1, "b"]}
    run = wandb_logger(**wandb_settings | given).experiment
    assert (run.name, run.group, run.job_type, run.project, run.tags) == ("5", "7", "0.5", "3", ("1", "b"))


def test_written_pictures_are_whole_or_absent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"p\.png could not be written"):
        write_picture(torch.rand(3, 4, 4), tmp_path / "file" / "p.png")
