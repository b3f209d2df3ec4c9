"""Several processes on one machine, without a GPU: gloo in place of nccl."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.train import run as entry
from tests import two_processes
from tests.evaluation.helpers import table
from tests.evaluation.test_resume import evaluation, whole  # noqa: F401 - fixtures
from tests.runs.test_resume import ENVIRONMENT, TRAINING, assert_equal, command, state
from tests.train.test_train import composed

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.num_workers=0"]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What `tests.two_processes` writes, by the number of processes."""
    folders = {}
    for devices in (1, 2):
        folders[devices] = tmp_path_factory.mktemp(f"devices{devices}")
        arguments = [sys.executable, "-m", "tests.two_processes", str(folders[devices]), str(devices)]
        subprocess.run(arguments, cwd=CONF.parent, env=ENVIRONMENT, check=True, capture_output=True, timeout=120)
    return folders


@pytest.mark.parametrize("adversarial", [True, False])
def test_two_processes_take_the_step_of_one_with_their_batch(adversarial: bool, steps: dict[int, Path]) -> None:
    one = torch.load(steps[1] / f"step_{adversarial}_0.pt", weights_only=True)
    two = [torch.load(steps[2] / f"step_{adversarial}_{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert_equal(two[0], two[1])
    assert len(one["gradients"]) == (2 if adversarial else 1)
    for taken, expected in zip(two[0]["gradients"], one["gradients"], strict=True):
        scale = float(expected.abs().max())
        assert scale > 1e-4
        torch.testing.assert_close(taken, expected, rtol=0, atol=1e-5 * scale)


def test_processes_get_different_holes_and_the_seed_brings_them_back(steps: dict[int, Path]) -> None:
    (first,), (second,) = (torch.load(steps[2] / f"masks_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not any(torch.equal(mask, other) for mask in first for other in second)

    def drawn(rank: int, seed: int) -> torch.Tensor:
        data = two_processes.sample(seed)
        data.trainer = type("Trainer", (), {"global_rank": rank, "world_size": 2})()
        return next(iter(data.train_dataloader()))["mask"]

    for rank, seen in enumerate((first, second)):
        assert torch.equal(drawn(rank, seed=0), seen)
        assert not any(torch.equal(*pair) for pair in zip(drawn(rank, seed=1), seen, strict=True))


def test_batch_norm_can_be_made_one_over_all_processes(tmp_path: Path) -> None:
    """As far as it goes without GPUs: the layers are converted, and the run is refused in one sentence."""
    cfg = composed(tmp_path, [*TRAINING, *TWO, "trainer.sync_batchnorm=true"])
    trainer, module = entry.build(cfg.trainer), entry.build(cfg.model)
    layers = [type(layer) for layer in trainer.strategy._layer_sync.apply(module).modules()]
    assert torch.nn.BatchNorm2d not in layers
    assert layers.count(torch.nn.SyncBatchNorm) == 4 + 2 + 3 + 3  # encoder, middle, decoder, discriminator
    with pytest.raises(UserError, match="sync_batchnorm needs GPUs"):
        entry.train(cfg)


def test_a_strategy_that_cannot_train_two_networks_is_a_sentence(tmp_path: Path) -> None:
    chosen = ["trainer.devices=2", "data.num_workers=0", "trainer.strategy=ddp", f"hydra.run.dir={tmp_path}"]
    done = command(*TRAINING, *chosen, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "trainer.strategy cannot train two networks in turn: leave it out" in done.stderr
    assert "Traceback" not in done.stderr


def test_trained_by_two_killed_and_resumed(tmp_path: Path) -> None:
    """SIGTERM to the first process alone reaches both; each goes on with random states of its own."""
    runs = {name: tmp_path / name for name in ("whole", "stopped")}
    stop = "+callbacks.stop={_target_: tests.signals.Signal, number: 15, batch: 1}"
    for name, more, code in (("whole", [], 0), ("stopped", [stop], 143), ("stopped", ["ckpt_path=last"], 0)):
        done = command(*TRAINING, *TWO, *more, f"hydra.run.dir={runs[name]}", cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout.splitlines().count(str(runs[name])) == 1  # one process speaks
    assert_equal(state(runs["stopped"]), state(runs["whole"]))
    first, second = state(runs["whole"])["inpaint"]["random"]
    assert first.keys() == second.keys()
    logs = [(folder / "logs" / "metrics.csv").read_text() for folder in runs.values()]
    assert logs[0] == logs[1]
    other = command(*TRAINING, "data.num_workers=0", f"ckpt_path={runs['whole']}", cwd=tmp_path)
    assert other.returncode == 2
    assert "was written by 2 processes, and this run has 1" in other.stderr


@pytest.mark.parametrize(("rank", "hangs"), [(0, False), (1, False), (1, True)])
def test_when_one_dies_the_other_ends_and_says_so(rank: int, hangs: bool, tmp_path: Path) -> None:
    kill = f"+callbacks.kill={{_target_: tests.signals.Signal, number: 9, batch: {0 if hangs else 1}, rank: {rank}}}"
    hang = ["+callbacks.hang={_target_: tests.signals.Hang}"] if hangs else []
    arguments = [*TRAINING, *TWO, "model.discriminator=null", kill, *hang, f"hydra.run.dir={tmp_path}"]
    arguments.remove("model.discriminator.filters=4")
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == (-signal.SIGKILL if rank == 0 else 1)
    assert "ended" in done.stderr
    assert "Traceback" not in done.stderr
    time.sleep(0.1)
    left = subprocess.run(["pgrep", "-f", f"hydra.run.dir=.*{tmp_path}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_two_processes_measure_each_picture_once(evaluation: list[str], whole: Path, tmp_path: Path) -> None:  # noqa: F811
    """Five pictures: one process has one more than the other."""
    overrides = [value for value in TWO if not value.startswith("data")]
    done = command(*evaluation, *overrides, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path) == table(whole)
    assert (tmp_path / "gallery.png").read_bytes() == (whole / "gallery.png").read_bytes()


def test_under_slurm_the_tasks_are_the_devices(evaluation: list[str], whole: Path, tmp_path: Path) -> None:  # noqa: F811
    """What srun sets, without srun: two tasks on one node, each started by itself."""
    slurm = {
        "SLURM_JOB_ID": str(os.getpid()),  # ports follow from it
        "SLURM_JOB_NAME": "trial",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
    }
    overrides = ["trainer=slurm", "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}"]
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "inpaint.train", *evaluation, *overrides],
            cwd=tmp_path,
            env=ENVIRONMENT | slurm | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in range(2)
    ]
    said = [task.communicate(timeout=120) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert table(tmp_path) == table(whole)


def test_the_batch_script_asks_for_a_task_a_gpu() -> None:
    script = (CONF.parent / "experiments" / "slurm.sbatch").read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(.+)$", script, re.MULTILINE))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert asked["signal"].startswith("TERM@")
    assert "trainer=slurm" in script
