"""What the processes of a distributed run tell each other."""

import logging
import os
import threading
import time
from typing import TypeVar

from torch import distributed

T = TypeVar("T")
OBSERVER = logging.getLogger("lightning_fabric.strategies.launchers.subprocess_script")
"""Where Lightning's observer of the processes it started says that one has failed, before it kills the others."""
GRACE = 5.0
"""Seconds that the first process has for saying by itself what went wrong."""


def gather(value: T) -> list[T]:
    """The value of every process, in the order of their ranks; all of them have to call this."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # by now every one is there


def end_with_the_first() -> None:
    """In all processes of this machine but the first: ends this one when that one is gone.

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


class EndWithAnother(logging.Handler):
    """In the first process: when another one of its run has failed, ends it with `message` and code 1.

    Lightning alone kills it in silence, up to five seconds after the other's end: often before it has come to its own
    account of the loss, which the grace leaves it time for.
    """

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        OBSERVER.handlers = [self]
        OBSERVER.setLevel(logging.INFO)
        OBSERVER.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(GRACE)
        os.write(2, f"{self.message}\n".encode())
        os._exit(1)


def lost_another(error: BaseException) -> bool:
    """Whether this is what a process gets to see when another one of its run has ended."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and " by peer" in str(error)  # gloo's: closed, or reset
