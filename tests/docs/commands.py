"""What stands for each program of the documented commands: it runs for real, or as far as its arguments reach."""

import argparse
import importlib
import importlib.util
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import httpx
import uvicorn
import yaml

from experiments.studies import studies
from inpaint.content.weights import file_of
from tests.docs.blocks import ROOT
from tests.docs.shell import ADDRESS, Call
from tests.docs.training import Enough, small
from tests.photo.test_inpainter import network_file

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PATIENCE = 60  # seconds
Answer = tuple[int, str]


class Parsed(BaseException):
    """A program has read its arguments."""


def answer(call: Call, wandb: bool = False, runs: bool = True) -> Answer:
    """Does what a program is asked for, or only reads its arguments; its exit code, and what it said."""
    program, words = call.program, call.words
    if program.startswith("inpaint-"):
        module, _, function = PROJECT["scripts"][program].partition(":")
        assert function == "main", f"{program} is not tried, for it does not start main()."
        return python(module.removesuffix(".__main__"), words, call, wandb, runs)
    if program in ("python", "python3"):
        assert words[:1] == ["-m"], f"{shlex.join([program, *words])}: only python -m is known here."
        return python(words[1], words[2:], call, wandb, runs)
    if program == "make":
        return make(call, runs)
    return {"pip": pip, "torchrun": torchrun, "sbatch": sbatch, "wandb": weights_and_biases}[program](call)


# ---- python -m


def python(module: str, words: list[str], call: Call, wandb: bool = False, runs: bool = True) -> Answer:
    """Runs `python -m module words`. Modules of `experiments` only read their arguments; so do others unless `runs`."""
    assert importlib.util.find_spec(module), f"There is no module {module}."
    if module == "pytest" and not runs:
        assert Path(ROOT, words[0]).exists(), f"There is no {words[0]} to test."
        return 0, ""
    assert runs or not module.startswith(("inpaint.fill", "inpaint.data", "inpaint.evaluation")), (
        f"python -m {module} is not tried on a page of a measurement: its data is not there."
    )
    if module == "inpaint.train":
        with small(words, wandb, runs):
            return begun(module, words, call)
    if module == "inpaint.web":
        with patch.object(uvicorn.Server, "run", visits(option(words, "--password"))):
            return begun(module, [*words, "--port", "0", "--no-browser", "--device", "cpu"], call)
    if module == "inpaint.export":
        with patch("inpaint.export.run.file_of", partial(stored, Path(call.folder, ".venv", "starter.safetensors"))):
            return begun(module, words, call)
    if module == "inpaint.fill" and not option(words, "--preset"):
        return begun(module, [*words, "--preset", "instant"], call)  # in a quarter of the time
    if module.startswith("inpaint.") and runs:
        return begun(module, words, call)
    assert module.startswith("experiments."), f"python -m {module} is not known here: add it to tests/docs/commands.py."
    parse = argparse.ArgumentParser.parse_args

    def parsed(*given: object) -> None:
        parse(*given)
        raise Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", parsed):
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        if not re.search(r"\bparse_args\(|\breport\(", source):
            assert not words, f"{module} takes no arguments."
            return 0, ""
        return begun(module, words, call)


def stored(small_one: Path, checkpoint: str) -> Path:
    """A checkpoint's file, or a small network in the place of the starter's, whose export takes a minute."""
    return network_file(small_one) if checkpoint == "starter" else file_of(checkpoint)


def begun(module: str, words: list[str], call: Call) -> Answer:
    """Runs a module of ours as Python does, in this process, and looks at what it should have left."""
    name = f"{module}.__main__" if importlib.util.find_spec(module).submodule_search_locations else module
    said = io.StringIO()
    loaded = set(sys.modules)
    environment = {key: value for key, value in call.environment.items() if key not in ("PATH", ADDRESS)}
    before = os.getcwd()
    paths = [str(Path(call.folder, path)) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    try:
        os.chdir(call.folder)
        with (
            patch.dict(os.environ, environment),
            patch.object(sys, "argv", [module, *words]),
            patch.object(sys, "path", [call.folder, *paths, *sys.path]),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            code = ended(getattr(importlib.import_module(name), "main", None) or importlib.import_module(name).app)
        assert code == 0, f"{shlex.join(['python', '-m', module, *words])} ended with {code}:\n{said.getvalue()}"
        for path in promised(module, words):
            assert path.exists(), f"{shlex.join(['python', '-m', module, *words])} did not write {path}."
    finally:
        os.chdir(before)
        for other in set(sys.modules) - loaded:  # parts of a user's own
            if str(getattr(sys.modules[other], "__file__", "")).startswith((f"{call.folder}{os.sep}", *paths)):
                del sys.modules[other]
    return code, said.getvalue()


def ended(main: Callable[[], object]) -> int:
    """Calls the entry point of a command, and returns its exit code."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Enough, Parsed):
        pass
    return 0


def promised(module: str, words: list[str]) -> list[Path]:
    """The files and folders that a command line says will be written."""
    if not module.startswith("inpaint.") or {"--help", "--cfg"} & {*words}:
        return []
    named = [word.partition("=")[2] for word in words if word.startswith(("hydra.run.dir=", "hydra.sweep.dir="))]
    named += [option(words, name) for name in ("--report", "--save-intermediates")]
    if module in ("inpaint.export", "inpaint.data.resize"):
        named.append(words[1])
    paths = [Path(name) for name in named if name]
    if module == "inpaint.fill":
        photo, output = Path(words[0]), option(words, "-o", "--output")
        output = Path(output) if output else photo.with_name(f"{photo.stem}_filled{photo.suffix}")
        count = int(option(words, "--variants") or 0) if output.suffix else 0
        paths += [output.with_stem(f"{output.stem}_{number + 1}") for number in range(count)] or [output]
    return paths


def option(words: list[str], *names: str) -> str | None:
    """The value of an option, by any of its names; None where it is not given."""
    return next((value for word, value in pairwise(words) if word in names), None)


# ---- the page


def visits(password: str | None) -> Callable[..., None]:
    """What stands for `uvicorn.Server.run`: it asks for the page once, and stops."""
    run = uvicorn.Server.run

    def visited(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        thread = threading.Thread(target=run, args=(server, sockets))
        thread.start()
        try:
            auth = None if password is None else ("", password)
            address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
            assert httpx.get(address, auth=auth, timeout=PATIENCE, trust_env=False).status_code == 200
        finally:
            server.should_exit = True
            thread.join(PATIENCE)

    return visited


# ---- the other programs


def pip(call: Call) -> Answer:
    """Checks that what is to be installed is this project, with extras that it has."""
    assert call.words[:1] == ["install"], f"pip {call.words[0]} is not known here."
    for word in call.words[1:]:
        if not word.startswith("-"):
            found = re.fullmatch(r"(\.|[a-z-]+)(?:\[([\w,-]+)\])?", word)
            assert found, f"pip install {word} cannot be read here."
            assert found[1] in (".", PROJECT["name"]), f"{found[1]} is not this project."
            for extra in filter(None, (found[2] or "").split(",")):
                assert extra in PROJECT["optional-dependencies"], f"There is no extra {extra}."
    return 0, ""


def make(call: Call, programs: bool) -> Answer:
    """Has `make -n` say what it would do, and tries the arguments of the `programs` that it would run."""
    targets = [word for word in call.words if "=" not in word and not word.startswith("-")]
    for target in targets:
        assert target in make_targets(), f"make {target}: no target with a ## text, and no study."
    environment = call.environment | {"PATH": os.environ["PATH"]}
    command = ["make", "-n", *call.words]
    done = subprocess.run(command, cwd=call.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.replace("\\\n", " ").splitlines()
    for line in lines if programs else ():
        for module, words in re.findall(r"python -m (inpaint\.train|experiments\.\S+)(.*?)(?=\|\||;|$)", line):
            only = ["--cfg", "job"] if module == "inpaint.train" else []  # tests/experiments/test_studies.py runs them
            python(module, [*shlex.split(words), *only], call, runs=False)
    return 0, done.stdout


def make_targets() -> set[str]:
    """The targets that `make help` lists, and the studies."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {*re.findall(r"^([a-z][\w-]*):.*##", makefile, re.MULTILINE), *studies()}


def torchrun(call: Call) -> Answer:
    """Checks the configuration of the processes that it would start."""
    at = call.words.index("-m")
    assert all(word.startswith("--") for word in call.words[:at]), call.words
    return python(call.words[at + 1], call.words[at + 2 :], call, runs=False)


def sbatch(call: Call) -> Answer:
    """Checks the configuration that the batch script would hand on."""
    script, *words = call.words
    lines = Path(call.folder, script).read_text(encoding="utf-8").replace("$SLURM_JOB_ID", "1").splitlines()
    (line,) = (line for line in lines if "-m inpaint.train" in line)
    own = shlex.split(line.partition("-m inpaint.train")[2])
    return python(
        "inpaint.train", [each for word in own for each in (words if word == "$@" else [word])], call, runs=False
    )


def weights_and_biases(call: Call) -> Answer:
    """Checks the runs that would be sent, and the configuration of a sweep's first run."""
    kind, *words = call.words
    if kind == "sync":
        assert all(Path(call.folder, word).is_dir() for word in words), f"There is no run at {words}."
    elif kind == "sweep":
        sweep = yaml.safe_load(Path(call.folder, words[0]).read_text(encoding="utf-8"))
        own = [word for word in sweep["command"] if "=" in word]
        own += [
            f"{key}={value.get('min', value.get('values', [None])[0])}" for key, value in sweep["parameters"].items()
        ]
        return python("inpaint.train", own, call, runs=False)
    else:
        assert kind in ("login", "agent"), f"wandb {kind} is not known here: add it to tests/docs/commands.py."
    return 0, ""
