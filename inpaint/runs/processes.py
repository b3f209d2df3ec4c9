"""The processes of a distributed run: how many there are, what they exchange, and how one ends with the others."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import TypeVar

from torch import distributed

T = TypeVar("T")
LAUNCHER_LOG = logging.getLogger("lightning_fabric.strategies.launchers.subprocess_script")
"""Where Lightning says that a process which it started has failed, just before it kills the others."""
GRACE = 5.0
"""Seconds that the first process has for saying by itself what went wrong."""


def is_one_device(devices: int | str | Sequence[int]) -> bool:
    """Whether `trainer.devices` asks for exactly one device: its number is 1, or it lists one."""
    return devices in (1, "1") or (not isinstance(devices, int | str) and len(devices) == 1)


def strategy_for(devices: int | str | Sequence[int], num_nodes: int) -> str:
    """The trainer's strategy: none in particular for one process, data-parallel training for several."""
    if num_nodes == 1 and is_one_device(devices):
        return "auto"
    return "ddp_find_unused_parameters_true"  # two optimisers: each step uses the parameters of one network


def gather(value: T) -> list[T]:
    """Collects the value of every process, in the order of their ranks; all of them have to call this."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # by now every one is there


def end_with_the_first_process() -> None:
    """Ends this process when the first one of its machine, which started it, is gone; in that one it does nothing.

    What it waits for would otherwise never come, and a collective operation on a GPU waits for many minutes.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2)
        os.write(2, b"error: The process that started this one has ended, so this one ends as well.\n")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class EndWhenAnotherFails(logging.Handler):
    """Ends the first process, with `message` and exit code 1, when another one of its run has failed.

    Lightning alone would kill it in silence, often before it could say by itself what went wrong; for that it is left
    `GRACE`.
    """

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        LAUNCHER_LOG.handlers = [self]
        LAUNCHER_LOG.setLevel(logging.INFO)
        LAUNCHER_LOG.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(GRACE)
        os.write(2, f"{self.message}\n".encode())
        os._exit(1)


def says_that_another_ended(error: BaseException) -> bool:
    """Whether this error is the one that a process gets when another one of its run has ended."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and " by peer" in str(error)  # gloo's: closed, or reset
