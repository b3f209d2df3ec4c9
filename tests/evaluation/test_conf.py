"""The callbacks and loggers of the configuration can be built, and name the files that they should."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from inpaint.evaluation.panel import Panel
from inpaint.evaluation.results import Results
from inpaint.files import CONF
from tests.train import test_train


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(overrides=list(overrides))
    OmegaConf.set_struct(cfg, False)
    return OmegaConf.merge(
        cfg, {"name": "trial", "tags": ["a"], "seed": 3, "model": {}, "data": {}, "paths": {"output": str(folder)}}
    )  # type: ignore[return-value]


def test_callbacks(tmp_path: Path) -> None:
    built = instantiate(composed(tmp_path, "+callbacks=default")).callbacks
    assert isinstance(built.results, Results)
    assert (built.results.folder.path, built.results.name) == (tmp_path, "trial")
    assert built.results.settings == "seed 3, model {}, data {}"
    assert built.results.measures.own == {}
    assert isinstance(built.panel, Panel)
    assert built.panel.folder == tmp_path / "panels"
    assert isinstance(built.best, pl.callbacks.ModelCheckpoint)
    assert (built.best.monitor, built.best.mode) == ("content/val_l2", "min")
    assert built.best.dirpath == str(built.checkpoints.folder) == str(tmp_path / "checkpoints")
    assert isinstance(built.progress, pl.callbacks.ProgressBar)


def test_own_measures_are_built(tmp_path: Path) -> None:
    node = "{_target_: tests.evaluation.test_results.darkness, _partial_: true}"
    cfg = composed(tmp_path, "+callbacks=default", f"+callbacks.results.measures.darkness={node}")
    own = instantiate(cfg).callbacks.results.measures.own
    picture = torch.full((3, 8, 8), 0.25)
    mask = torch.zeros(1, 8, 8)
    mask[:, 2:6, 2:6] = 1
    assert {name: float(measure(picture, picture, mask)) for name, measure in own.items()} == {"darkness": 0.75}


@pytest.mark.parametrize(
    ("override", "decides"),
    [
        ("data.num_workers=7", False),
        ("data.batch_size=7", False),
        ("data.in_memory=true", False),
        ("hole@data.training_hole=mixed", False),
        ("hole@data.evaluation_hole=mixed", True),
        ("data.test_size=256", True),
        ("data.split=[0,0,1]", True),
        ("model.preset.alpha=7", True),
        ("seed=7", True),
        ("+callbacks.results.measures.a={_target_: tests.evaluation.test_results.darkness, _partial_: true}", False),
    ],
)
def test_what_an_evaluation_is_of_is_what_decides_its_numbers(tmp_path: Path, override: str, decides: bool) -> None:
    common = ["+experiment=refine", "data=folder"]
    settings = [
        test_train.composed(tmp_path, overrides).callbacks.results.settings
        for overrides in (common, [*common, override])
    ]
    assert (settings[0] != settings[1]) == decides


def test_csv_stands_beside_the_results_and_not_in_their_place(tmp_path: Path) -> None:
    built = instantiate(composed(tmp_path, "+logger=csv")).logger
    assert list(built) == ["csv"]
    assert isinstance(built.csv, CSVLogger)
    assert Path(built.csv.log_dir) == tmp_path / "logs"


def test_wandb_brings_csv_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    built = instantiate(composed(tmp_path, "+logger=wandb", "logger.wandb.job_type=content")).logger
    assert list(built) == ["csv", "wandb"]
    assert isinstance(built.wandb, WandbLogger)
    assert built.wandb._wandb_init["group"] == built.wandb._wandb_init["name"] == "trial"
    assert built.wandb._wandb_init["tags"] == ["a"]
