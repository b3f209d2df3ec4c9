"""What the processes of a distributed run tell each other."""

import os
import threading
import time
from typing import TypeVar

from torch import distributed

T = TypeVar("T")


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


def lost_another(error: BaseException) -> bool:
    """Whether this is what a process gets to see when another one of its run has ended."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and " by peer" in str(error)  # gloo's: closed, or reset
