"""Runs the sh blocks by bash, in which this process answers for our own programs: here they are loaded once."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import NamedTuple

ADDRESS = "INPAINT_DOCUMENTS"
PLAIN = ("cat", "cp", "head", "ls", "mkdir", "mv", "rm", "tail", "touch")
"""Programs that bash runs itself."""
ANSWERED = (
    "python", "python3", "inpaint-fill", "inpaint-train", "inpaint-web", "pip", "make", "torchrun", "sbatch", "wandb",
)  # fmt: skip
ASKS = f"""import os, sys
from multiprocessing.connection import Client
with Client(os.environ["{ADDRESS}"]) as line:
    line.send((sys.argv[1], sys.argv[2:], os.getcwd(), dict(os.environ)))
    code, said = line.recv()
sys.stdout.write(said)
sys.exit(code)
"""


class Call(NamedTuple):
    """A program that a block starts."""

    program: str
    words: list[str]
    folder: str
    environment: dict[str, str]


def install(folder: Path) -> None:
    """Puts what stands for the programs into a scratch folder, where an installation has them: in .venv/bin."""
    place = folder / ".venv" / "bin"
    place.mkdir(parents=True)
    (place / "activate").touch()
    asks = place.parent / "asks.py"
    asks.write_text(ASKS)
    for name in ANSWERED:
        words = map(shlex.quote, (sys.executable, "-IS", str(asks), name))  # no shebang of Python's: paths hold spaces
        (place / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (place / name).chmod(0o755)
    for name in PLAIN:
        found = next(Path(at, name) for at in os.environ["PATH"].split(os.pathsep) if Path(at, name).exists())
        (place / name).symlink_to(found)


def run(text: str, folder: Path, answer: Callable[[Call], tuple[int, str]]) -> str:
    """Runs a block in a scratch folder, and returns what it said.

    Raises:
        AssertionError: a program ended with another code than 0.
        Exception: what `answer` raised.
    """
    raised: list[BaseException] = []
    said: list[str] = []
    with Listener() as listener:
        environment = os.environ | {"PATH": str(folder / ".venv" / "bin"), ADDRESS: listener.address}
        unknown = (
            'command_not_found_handle() { echo "$1 is no program that tests/docs knows: add it to tests/docs/shell.py '
            'and tests/docs/commands.py, or write <!-- not run: the reason. --> before the block."; return 127; }'
        )
        process = subprocess.Popen(
            [_bash(), "-euo", "pipefail", "-c", f"{unknown}\n{text}"],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

        def wait() -> None:
            said.append(process.communicate()[0])
            with Client(listener.address) as line:
                line.send(None)

        waiting = threading.Thread(target=wait)
        waiting.start()
        try:
            while True:
                with listener.accept() as line:
                    asked = line.recv()
                    if asked is None:
                        break
                    try:
                        line.send(answer(Call(*asked)))
                    except Exception as error:
                        raised.append(error)
                        line.send((1, ""))
        finally:
            process.kill()
            waiting.join(0 if sys.exc_info()[0] else None)
    if raised:
        raise raised[0]
    assert process.returncode == 0, "".join(said)
    return "".join(said)


def _bash() -> str:
    return next(str(path) for at in os.environ["PATH"].split(os.pathsep) if (path := Path(at, "bash")).exists())
