"""The command line as a user types it, made small: every experiment composed, built, run for a step."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.studies import studies
from inpaint.errors import UserError
from inpaint.evaluation.metrics import measure
from inpaint.files import CONF
from inpaint.imaging.reading import read_picture, write_picture
from inpaint.train import run as entry
from inpaint.train.__main__ import main
from inpaint.train.job import overrides_by_key
from tests.content.helpers import save_checkpoint, tiny_gan

EXPERIMENTS = sorted({path.stem for path in (CONF / "experiment").glob("*.yaml")} - set(studies()))
SMALL_GENERATOR = ["filters=4", "bottleneck=8"]
SMALL_DATA = [
    "data.batch_size=2",
    "data.num_workers=0",
    "data.samples_per_epoch=2",
    "data.test_pictures=1",
    "data.test_size=256",
]
SMALL_TRAINER = ["trainer.max_epochs=1", "trainer.log_every_n_steps=1", "~callbacks.progress"]
SMALL_PRESET = ["scales=2", "rounds=1", "iterations=1"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def composed(folder: Path, overrides: list[str]):
    """The configuration of `python -m inpaint.train <overrides>`, its results in `folder`."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides, return_hydra_config=True)
    OmegaConf.resolve(cfg.hydra.runtime.choices)
    kind = cfg.hydra.runtime.choices.model
    OmegaConf.set_struct(cfg, False)
    cfg.paths.output = str(folder)
    if "${hydra" in str(OmegaConf.to_container(cfg, resolve=False)["name"]):
        cfg.name = kind
    if "wandb" in cfg.logger:
        cfg.logger.wandb.job_type = kind
    del cfg.hydra
    return cfg


def small(overrides: list[str]) -> list[str]:
    """Tiny networks, one batch, one picture."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = compose("train", overrides).model
    refined = "content" in model
    content = "model.content" if refined else "model"
    stage1 = model.content if refined else model
    sizes = [] if stage1.weights == "starter" else [f"{content}.generator.{value}" for value in SMALL_GENERATOR]
    if stage1.discriminator is not None:
        sizes.append(f"{content}.discriminator.filters=4")
    if refined:
        sizes += [f"model.preset.{value}" for value in SMALL_PRESET]
    return [*overrides, *SMALL_DATA, *SMALL_TRAINER, *sizes]


def run(folder: Path, overrides: list[str]):
    return entry.train(composed(folder, small(overrides)))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs(experiment, tmp_path):
    data = ["data=sample"]
    if experiment.startswith("starter"):  # they name four folders of a root
        for i in range(12):
            write_picture(torch.rand(3, 130, 140), tmp_path / "pictures" / f"p{i}.png")
        data = [f"data.root={tmp_path / 'pictures'}", "data.folders=[.]", "data.split=[0.5,0.5,0]", "model.warm_up=0"]
    if experiment == "starter":  # it goes on from the other
        save_checkpoint(tiny_gan(generator={"residual": True}), tmp_path / "base.ckpt")
        data.append(f"model.weights={tmp_path / 'base.ckpt'}")
    metrics = run(tmp_path, [f"+experiment={experiment}", *data])
    cfg = OmegaConf.load(tmp_path / "config.yaml")
    assert cfg.name == experiment
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    refined = "content" in cfg.model
    if cfg.test:
        results = json.loads((tmp_path / "metrics.json").read_text())
        assert results["pictures"] == 1
        expected = {"name", "pictures", "area", "content", "seconds_per_picture", "confidence", "intervals"}
        assert set(results) == expected | ({"refined", "features"} if refined else set())
    if experiment == "starter":  # the other, as `make starter` runs it, is what it starts from
        with initialize_config_dir(str(CONF), version_base="1.3"):
            start = Path(compose("train", ["+experiment=starter"]).model.weights)
        assert f"hydra.run.dir={start.parents[1]} " in (CONF.parent / "Makefile").read_text()
        assert set(provenance["weights"]) == {"content", "content_vgg"}
    if refined:
        assert len(provenance["weights"]["vgg"]["sha256"]) == 64
        assert metrics["test/energy/scale1/texture_after"] > 0
        assert "energy/scale1/texture_after" in (tmp_path / "logs" / "metrics.csv").read_text()
    if cfg.fit:
        assert metrics["content/loss_rec"] > 0
        assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
        assert list((tmp_path / "panels").iterdir())
        logged = {row for line in csv.reader((tmp_path / "logs" / "metrics.csv").open()) for row in line}
        adversarial = (cfg.model.content if refined else cfg.model).discriminator is not None
        assert ("content/loss_d_real" in logged) == adversarial
    assert bool(list(tmp_path.glob("wandb/offline-run-*"))) == ("wandb" in cfg.logger)


@pytest.mark.parametrize("preset", sorted(path.stem for path in (CONF / "model" / "preset").glob("*.yaml")))
def test_every_preset_runs(preset, tmp_path):
    run(tmp_path, ["+experiment=refine", f"model/preset={preset}", "data=sample", "logger=csv"])
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["refined"]["hole"]["psnr"] > 5


@pytest.mark.parametrize("method", ["telea", "biharmonic"])
def test_a_classical_filling_is_measured_like_a_stage(method, tmp_path):
    cfg = ["model=classical", f"model.method={method}", "fit=false", "data.test_size=128", "data.num_workers=0"]
    entry.train(composed(tmp_path, cfg))
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert set(results) == {"name", "pictures", "area", "refined", "seconds_per_picture", "confidence", "intervals"}
    assert results["pictures"] > 1
    assert 5 < results["refined"]["hole"]["psnr"] < 40
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert len({row["seconds"] for row in rows}) == len(rows)  # each its own


@pytest.mark.parametrize("trainer", ["cpu", "gpu", "ddp", "slurm"])
@pytest.mark.parametrize("data", ["folder", "imagenet", "paris_streetview", "sample"])
def test_every_group_composes(trainer, data, tmp_path):
    cfg = composed(tmp_path, [f"trainer={trainer}", f"data={data}"])
    assert cfg.trainer._target_ == "pytorch_lightning.Trainer"
    entry.build(cfg.data)


def test_mixed_precision_is_the_content_networks_alone(tmp_path):
    """Under bf16-mixed the refinement's own arithmetic stays float32: the same prediction, the same pixels."""
    overrides = ["+experiment=refine", "data=sample", "logger=csv", "model.precision=float32"]
    cfg = composed(tmp_path / "mixed", [*small(overrides), "trainer.precision=bf16-mixed"])
    entry.train(cfg)
    entry.train(composed(tmp_path / "plain", [*small(overrides), "trainer.precision=32-true"]))
    mixed, plain = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("mixed", "plain"))
    assert mixed["refined"]["hole"]["psnr"] == pytest.approx(plain["refined"]["hole"]["psnr"], abs=0.05)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    run(folder, ["+experiment=quickstart"])
    return folder


def test_results_folder(quickstart):
    """Pictures, rows and means agree with each other, and the hole is the 128 x 128 middle of 256 x 256."""
    (row,) = csv.DictReader((quickstart / "metrics.csv").open())
    folder = quickstart / "pictures" / row["id"]
    pictures = {name: read_picture(folder / f"{name}.png") for name in ("input", "content", "refined", "truth")}
    mask = torch.zeros(1, 256, 256)
    mask[:, 64:192, 64:192] = 1
    assert torch.equal(pictures["input"], pictures["truth"] * (1 - mask) + mask)
    for name in ("content", "refined"):
        assert torch.equal(pictures[name] * (1 - mask), pictures["truth"] * (1 - mask))
        assert not torch.equal(pictures[name], pictures["truth"])
        again = measure(pictures[name], pictures["truth"], mask)
        assert float(row[f"{name}_hole_psnr"]) == pytest.approx(again["hole"]["psnr"], abs=0.05)
    results = json.loads((quickstart / "metrics.json").read_text())
    assert results["refined"]["hole"]["psnr"] == pytest.approx(float(row["refined_hole_psnr"]), rel=1e-4)
    assert (quickstart / "gallery.png").is_file()


def test_same_seed_same_pictures(quickstart, tmp_path):
    run(tmp_path, ["+experiment=quickstart"])
    (first,) = quickstart.glob("pictures/*/refined.png")
    (second,) = tmp_path.glob("pictures/*/refined.png")
    assert first.read_bytes() == second.read_bytes()


def test_jobs_of_a_sweep_are_known_by_what_they_were_given(tmp_path):
    """Their overrides reach the loggers with their types, `sweep` beside the configuration; a single run has none."""
    overrides = ["model.preset.alpha=0.3", "model/generator@model.content.generator=small", "+experiment=refine"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sweep = compose("train", [*overrides, "hydra.mode=MULTIRUN"], return_hydra_config=True).hydra
        single = compose("train", overrides, return_hydra_config=True).hydra
    for run in (sweep, single):
        run.overrides.task = overrides
    given = {"model.preset.alpha": 0.3, "model/generator@model.content.generator": "small", "experiment": "refine"}
    assert overrides_by_key(sweep) == given
    assert overrides_by_key(single) == {}
    small_run = ["model=classical", "model.method=biharmonic", "fit=false", "data.test_size=64", "data.num_workers=0"]
    for name, value in (("job", given), ("alone", None)):
        entry.train(composed(tmp_path / name, small_run), value)
        logged = OmegaConf.load(tmp_path / name / "logs" / "hparams.yaml")
        assert logged.get("sweep") == value
        assert logged.model.method == "biharmonic"


def test_a_checkpoint_feeds_the_refinement(quickstart, tmp_path):
    """Training and refining at once, or one after the other: the same pictures, and the checkpoint's hash is kept."""
    checkpoint = quickstart / "checkpoints" / "last.ckpt"
    overrides = ["+experiment=quickstart", "fit=false", f"model.content.weights={checkpoint}"]
    run(tmp_path, overrides)
    (first,) = quickstart.glob("pictures/*/content.png")
    (second,) = tmp_path.glob("pictures/*/content.png")
    assert first.read_bytes() == second.read_bytes()
    weights = json.loads((tmp_path / "provenance.json").read_text())["weights"]
    assert weights["content"]["file"] == str(checkpoint)


@pytest.mark.parametrize("experiment", ["content", "content_l2"])
def test_resume_goes_on_where_it_stopped(experiment, tmp_path):
    """Two epochs at once, or one and, from its checkpoint, another: the same weights."""
    base = [f"+experiment={experiment}", "data=sample", "test=false"]

    def weights(folder):
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)

    def train(name, epochs, *more):
        cfg = composed(tmp_path / name, [*small(base), *more])
        cfg.trainer.max_epochs = epochs
        entry.train(cfg)
        return weights(tmp_path / name)

    whole = train("whole", 2)
    train("first", 1)
    second = train("second", 2, f"ckpt_path={tmp_path / 'first' / 'checkpoints' / 'last.ckpt'}")
    assert second["epoch"] == whole["epoch"] == 1
    assert second["global_step"] == whole["global_step"]
    assert all(torch.equal(second["state_dict"][name], value) for name, value in whole["state_dict"].items())


def command(*overrides: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(CONF.parent)}
    return subprocess.run(
        [sys.executable, "-m", "inpaint.train", *overrides], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_last_line_is_the_folder(tmp_path):
    """From any folder; the default model and a picture folder of one's own."""
    for i in range(3):
        write_picture(torch.rand(3, 80, 100), tmp_path / "mine" / f"p{i}.png")
    done = command(
        *small(["+experiment=refine", "data=folder", "data.root=mine", "data.split=[0,0,1]", "logger=csv"]),
        "data.test_size=192",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    assert (folder / "metrics.json").is_file()
    assert folder.parent.name == "refine"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.bach_size=3"], "bach_size"),
        (["model=classical", "model.method=magic", "fit=false"], "choose telea, ns, biharmonic, patchmatch"),
        (["model=transformer"], "transformer"),
        (["+experiment=nothing"], "nothing"),
        (["data=paris_streetview", "data.root=nowhere"], "data=sample works without it"),
        (["model.weights=missing.ckpt", "fit=false"], "missing.ckpt does not exist"),
        (["ckpt_path=missing.ckpt"], "no checkpoint missing.ckpt to resume"),
        (["fit=false", "ckpt_path=some.ckpt"], "to test weights, set model.weights"),
        (["model=refinement", "fit=false", "model.preset.alpha=-1"], "alpha is -1"),
        (
            ["model=refinement", "fit=false", "model/features=vgg19", "model.features.weights=missing.pth"],
            "no VGG-19 weights at missing.pth",
        ),
    ],
)
def test_a_users_mistake_is_one_sentence(overrides, sentence, tmp_path, monkeypatch, capfd):
    """In this process, for the command takes seconds to start; the next test is of the command itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *overrides])
    with pytest.raises(SystemExit) as end:
        main()
    told = capfd.readouterr().err
    assert end.value.code == 2
    assert sentence in told
    assert "Traceback" not in told


def test_the_command_tells_a_mistake_in_one_sentence(tmp_path):
    done = command("model=classical", cwd=tmp_path)
    assert done.returncode == 2
    assert "Classical has nothing to train: set fit=false" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_inside_instantiate_come_out_as_themselves():
    node = OmegaConf.create({"inner": {"_target_": "inpaint.refinement.settings.preset", "scales": 0}})
    with pytest.raises(UserError, match="scales is 0"):
        entry.build(node)
