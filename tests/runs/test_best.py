"""What `best.ckpt` holds: the weights that were validated, and nothing more."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks.model_checkpoint import warning_cache
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from inpaint.content.weights import load_network
from inpaint.errors import UserError
from inpaint.runs.checkpoint_files import AtomicIO, find_checkpoint, read_checkpoint, read_weights_of
from inpaint.runs.checkpoints import Averaged, Best, Checkpoints
from tests.content.test_module import fit, make


class Validated(pl.Callback):
    """The value and the weights of each validation."""

    def __init__(self) -> None:
        self.found: list[tuple[float, dict[str, Tensor]]] = []
        self.weights: dict[str, Tensor] = {}

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self.weights = {name: value.clone() for name, value in module.state_dict().items()}

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.found.append((float(trainer.callback_metrics["content/val_l2"]), self.weights))


def trained(folder: Path, averaged: bool, ckpt_path: Path | None = None, epochs: int = 3) -> tuple[Validated, Best]:
    validated, best = Validated(), Best(folder, "content/val_l2", "min")
    callbacks: list[pl.Callback] = [validated, best, Checkpoints(folder, 1, None, None)]
    callbacks += [Averaged(0.5)] if averaged else []
    fit(make(), ckpt_path, max_epochs=epochs, callbacks=callbacks, enable_checkpointing=True, plugins=[AtomicIO()])
    return validated, best


@pytest.mark.parametrize("averaged", [False, True])
def test_it_holds_the_weights_that_were_validated_alone(averaged: bool, tmp_path: Path) -> None:
    """Averaged ones where the training averages; none of what a training goes on from."""
    validated, best = trained(tmp_path, averaged)
    stored = torch.load(tmp_path / "best.ckpt", weights_only=True)
    least, weights = min(validated.found, key=lambda pair: pair[0])
    assert float(best.best_model_score) == pytest.approx(least)  # type: ignore[arg-type]
    assert stored["state_dict"].keys() == weights.keys()
    assert all(torch.equal(stored["state_dict"][name], value) for name, value in weights.items())
    for other in ("optimizer_states", "lr_schedulers", "callbacks", "current_model_state", "inpaint"):
        assert other not in stored
    generator, _ = load_network(tmp_path / "best.ckpt")
    expected = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_the_training_goes_on_with_its_own_weights(tmp_path: Path) -> None:
    """Which are not the averaged ones that were written."""
    first, _ = trained(tmp_path / "kept", averaged=True)
    second = Validated()
    fit(make(), max_epochs=3, callbacks=[second, Averaged(0.5)])
    assert [value for value, _ in first.found] == [value for value, _ in second.found]


def test_it_is_a_third_of_what_a_training_goes_on_from(tmp_path: Path) -> None:
    trained(tmp_path, averaged=False)
    sizes = [(tmp_path / name).stat().st_size for name in ("best.ckpt", "last.ckpt")]
    assert 2.5 * sizes[0] < sizes[1]


def test_a_resumed_training_knows_what_was_best(tmp_path: Path) -> None:
    """Also from a checkpoint in which Lightning's own callback wrote it."""
    _, best = trained(tmp_path, averaged=False)
    assert best.state_key.startswith("ModelCheckpoint{")
    found = find_checkpoint(str(tmp_path), tmp_path)
    assert found == tmp_path / "last.ckpt"
    _, again = trained(tmp_path, averaged=False, ckpt_path=found)
    assert again.best_model_score == best.best_model_score
    assert again.best_model_path == str(tmp_path / "best.ckpt")


def test_a_training_killed_between_its_first_two_files_begins_anew(tmp_path: Path) -> None:
    """`best.ckpt` is written before `last.ckpt`: alone it is no reason to refuse to go on; one that is damaged is."""
    trained(tmp_path / "checkpoints", averaged=False, epochs=1)
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert find_checkpoint("last", tmp_path) is None
    with pytest.raises(UserError, match="can be resumed from"):
        find_checkpoint(str(tmp_path), tmp_path)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"cut")
    with pytest.raises(UserError, match="can be resumed from"):
        find_checkpoint("last", tmp_path)


@pytest.mark.parametrize("own", [[1], {"format": "1"}, 3, None])
def test_a_foreign_file_is_a_sentence(own: Any, tmp_path: Path) -> None:
    keys = ("state_dict", "loops", "pytorch-lightning_version", "callbacks", "optimizer_states", "lr_schedulers")
    torch.save({key: {} for key in keys} | {"inpaint": own}, tmp_path / "other.ckpt")
    for read in (read_weights_of, read_checkpoint):
        with pytest.raises(UserError, match=r"other\.ckpt is no checkpoint of a training"):
            read(tmp_path / "other.ckpt")


@pytest.mark.filterwarnings("error:.*could not find the monitored key")
def test_a_training_that_ends_before_a_validation_has_no_best_one(tmp_path: Path) -> None:
    warning_cache.clear()  # Lightning warns once
    best = Best(tmp_path, "content/val_l2", "min")
    callbacks = [best, Checkpoints(tmp_path, 1, None, None)]
    fit(make(), max_epochs=2, max_steps=1, callbacks=callbacks, enable_checkpointing=True, plugins=[AtomicIO()])
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt"}


def test_a_value_that_no_validation_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="could not find the monitored key"):
        fit(make(), callbacks=[Best(tmp_path, "content/nothing", "min")], enable_checkpointing=True)


def test_no_training_is_resumed_from_it(tmp_path: Path) -> None:
    trained(tmp_path, averaged=False, epochs=1)
    with pytest.raises(UserError, match="cannot be resumed from"):
        trained(tmp_path, averaged=False, ckpt_path=tmp_path / "best.ckpt")
