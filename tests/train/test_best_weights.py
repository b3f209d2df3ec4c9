"""Which weights are tested after a training: those that were best in validation."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from inpaint.errors import UserError
from inpaint.runs.checkpoint_files import find_checkpoint, read_weights_of
from tests.runs.test_processes import TWO
from tests.runs.test_resume import TRAINING, command, run
from tests.train.test_train import composed

# two epochs, the second of which spoils what the first has learnt
SPOILT = [
    *(value for value in TRAINING if not value.startswith(("model.", "callbacks=", "callbacks.averaging", "test="))),
    "data.num_workers=0",
    "data.test_pictures=2",
    "data.test_size=128",
    "model.generator.filters=4",
    "model.generator.bottleneck=8",
    "model.discriminator=null",
    "model.optimizer_g.lr=1e-4",
    "model.scheduler={_target_: torch.optim.lr_scheduler.ExponentialLR, _partial_: true, gamma: 3}",
]


def results(folder: Path, *overrides: str) -> dict[str, Any]:
    """Runs them in this process; the measures of the content network."""
    run(composed(folder, [*SPOILT, *overrides]))
    return json.loads((folder / "metrics.json").read_text())["content"]


def epoch(folder: Path, name: str) -> int:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]


@pytest.mark.parametrize("callbacks", ["default", "averaged"])
def test_the_best_are_tested_and_said(callbacks: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are what `best.ckpt` gives by itself; a training that is resumed after its end tests them as well."""
    caplog.set_level(logging.INFO, "inpaint")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    tested = results(tmp_path / "run", f"callbacks={callbacks}")
    assert (epoch(tmp_path / "run", "best"), epoch(tmp_path / "run", "last")) == (0, 1)
    assert f"Testing the weights of epoch 0, the best by content/val_l2: {best}" in caplog.messages
    assert tested == results(tmp_path / "alone", "fit=false", f"model.weights={best}")
    assert tested != results(tmp_path / "last", "fit=false", f"model.weights={best.with_name('last.ckpt')}")
    assert caplog.text.count("Testing the weights") == 1  # fit=false says nothing of the kind
    assert tested == results(tmp_path / "run", f"callbacks={callbacks}", "ckpt_path=last")
    assert tested == results(tmp_path / "other", f"callbacks={callbacks}", f"ckpt_path={tmp_path / 'run'}")


def test_weights_alone_are_tested_but_not_resumed_from(tmp_path: Path) -> None:
    """`best.ckpt` has no state to go on with: named, it is refused; in a folder it is passed over, however new."""
    results(tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    assert "optimizer_states" not in torch.load(best, weights_only=True)
    with pytest.raises(
        UserError, match=r"holds weights alone, .*: resume from last\.ckpt, or start .* with model\.weights"
    ):
        results(tmp_path / "named", f"ckpt_path={best}")
    best.touch()
    assert find_checkpoint("last", tmp_path / "run") == best.with_name("last.ckpt")
    for path in best.parent.glob("last*.ckpt"):
        path.unlink()
    with pytest.raises(UserError, match=r"No checkpoint in .* can be resumed from"):
        find_checkpoint(str(tmp_path / "run"), tmp_path)
    assert read_weights_of(best)["state_dict"]


def test_both_stages_are_tested_with_the_best(tmp_path: Path) -> None:
    stages = ["model=refinement", "model.preset.scales=1", "model.preset.rounds=1", "model.preset.iterations=1"]
    both = [value.replace("model.", "model.content.") for value in SPOILT] + stages
    run(composed(tmp_path / "run", both))
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    run(composed(tmp_path / "alone", [*both, "fit=false", f"model.content.weights={best}"]))
    found = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "alone")]
    assert all(found[0][stage] == found[1][stage] for stage in ("content", "refined"))


def test_without_a_validation_the_last_are_tested(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inpaint")
    tested = results(tmp_path / "run", "+trainer.limit_val_batches=0")
    assert "Testing the last weights of the training, because no best ones were saved." in caplog.messages
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert tested == results(tmp_path / "alone", "fit=false", f"model.weights={last}")


def test_two_processes_test_the_best_as_well(tmp_path: Path) -> None:
    """By trainer.devices alone."""
    two = [value for value in TWO if not value.startswith(("trainer=", "trainer.accelerator"))]
    done = command(*SPOILT, *two, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    assert done.stdout.count(f"Testing the weights of epoch 0, the best by content/val_l2: {best}") == 1
    tested = json.loads((tmp_path / "run" / "metrics.json").read_text())["content"]
    assert tested == results(tmp_path / "alone", "fit=false", f"model.weights={best}")
