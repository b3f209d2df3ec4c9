"""Exceptions: a user's mistake, told in one sentence, and an interruption from outside; with their exit codes."""

from collections.abc import Sequence

INTERRUPTED = 130  # the exit code that shells report for Ctrl-C
SHOWN = 5  # names, at most, in a sentence


class UserError(Exception):
    """A user's mistake: the message says what was wrong, where, and what to do. Commands end with exit code 2."""


class Interrupted(SystemExit):
    """The run was told to stop by a signal, and has saved what there is. Commands end with exit code 128 + signal."""

    def __init__(self, signal: int) -> None:
        super().__init__(128 + signal)


def first_line(error: BaseException) -> str:
    """What another library's error says, as part of a sentence."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def first_of(names: Sequence[str], kind: str = "") -> str:
    """The first few names, and how many more (of a kind) there are, as part of a sentence."""
    more = len(names) - SHOWN
    return ", ".join(names if more <= 1 else names[:SHOWN]) + (f" and {more} more {kind}".rstrip() if more > 1 else "")
