"""`python -m inpaint.web`, as a process, and its options."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from unittest.mock import patch

import httpx
import pytest
import typer
import uvicorn
from typer.testing import CliRunner

from inpaint.errors import UserError
from inpaint.web import __main__ as command
from inpaint.web.addresses import own_address, url_host
from tests.photo.test_inpainter import network_file
from tests.web.helpers import PATIENCE, begin, paint, png

app = typer.Typer()
app.command()(command.web)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return network_file(tmp_path_factory.mktemp("net") / "net.safetensors")


def refusal(*options):
    """What is said on the standard error, by a command that does not start."""
    with patch.object(uvicorn.Server, "run", side_effect=AssertionError("it started")):
        done = CliRunner().invoke(app, ["--no-browser", "--device", "cpu", *map(str, options)])
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert done.stdout == ""
    return done.stderr


@contextmanager
def started(temporary, *options, **environment):
    """The process, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inpaint.web", "--no-browser", "--port", "0", "--device", "cpu", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)} | environment,
    )
    try:
        line = process.stdout.readline()
        found = re.match(r"The page is at (http://\S+:\d+/)[ ,]", line)
        assert found, line or process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def left_in(temporary):
    """What is left of the server; libraries may keep what they compiled."""
    return [path.name for path in temporary.iterdir() if path.name.startswith("inpaint_")]


def test_help_is_there_at_once():
    began = time.perf_counter()
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "try:\n  from inpaint.web.__main__ import main; main()\n"
        "finally:\n  print('heavy:', *sorted({'torch', 'fastapi', 'skimage'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--anyone-on-the-network" in done.stdout
    assert "heavy:\n" in done.stdout
    assert time.perf_counter() - began < PATIENCE


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_and_nothing_is_left(tmp_path, net, how, code):
    """In the middle of a long fill, with a page that listens."""
    with started(tmp_path, "--content", net, "--max-pixels", 200_000) as (process, url):
        with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
            assert client.get("/").status_code == 200
            session = begin(client)
            paint(client, session)
            client.post(f"{session}/steps/0/fill", json={"preset": "best", "variants": 4})
            assert left_in(tmp_path)
            with client.stream("GET", f"{session}/events") as listening:
                lines = listening.iter_lines()
                assert "data" in next(lines)
                process.send_signal(how)
                list(lines)  # ends
        assert process.wait(PATIENCE) == code
        assert "Traceback" not in process.stderr.read()
    assert left_in(tmp_path) == []


def test_the_password_may_stand_in_the_environment(tmp_path, net):
    """Where other users of the machine do not see it."""
    with started(tmp_path, "--content", net, "--host", "0.0.0.0", INPAINT_PASSWORD="a secret") as (process, url):
        assert url.startswith("http://localhost:")
        address = url.replace("localhost", "127.0.0.1")
        assert httpx.get(address, trust_env=False).status_code == 401
        assert httpx.get(address, auth=("", "a secret"), trust_env=False).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "studio.example"])
def test_others_on_the_network_need_a_password(host):
    said = refusal("--host", host)
    assert said == (
        f"error: --host {host} lets others on the network reach the page: give a --password, or "
        "--anyone-on-the-network if anyone may use it.\n"
    )
    assert "--password" in refusal("--host", host, "--password", "")  # which is none


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal("--port", port)
    assert said.startswith(f"error: The server cannot listen on 127.0.0.1, port {port} (Address already in use)")


def test_a_port_that_another_one_has_just_taken():
    """Which still loads its network: it is taken nevertheless."""
    first = command.bound("127.0.0.1", 0)
    with first, pytest.raises(UserError, match="cannot listen on"):
        command.bound("127.0.0.1", first.getsockname()[1]).close()


def test_an_address_that_this_machine_has_not():
    assert "cannot listen on" in refusal("--host", "192.0.2.1", "--anyone-on-the-network")
    assert "cannot listen on" in refusal("--host", "no.such.host.invalid", "--anyone-on-the-network")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "psutil"])
def test_missing_packages_are_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package.removeprefix("python_"), None)  # as that one is called as well
    assert refusal() == "error: The page takes further packages: pip install 'neural-patch-synthesis[web]'.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--device", "abacus"], "abacus"),
        (["--device", "cpu,"], "There is no device ''"),
        (["--device", ""], "There is no device ''"),
        (["--device", "cpu, cpu"], "--device cpu,cpu names a device twice: name each one once."),
        (["--content", "nothing.ckpt"], "nothing.ckpt"),
        (["--max-side", "5"], "--max-side"),
        (["--max-pixels", "0"], "--max-pixels"),
        (["--port", "70000"], "--port"),
    ],
)
def test_choices_that_there_are_not(options, sentence):
    assert sentence in refusal("--port", 0, *options)


def test_a_picture_is_no_first_stage_for_any_photo(tmp_path):
    (tmp_path / "picture.png").write_bytes(png())
    assert "belongs to one photo" in refusal("--port", 0, "--content", tmp_path / "picture.png")


def test_nothing_is_left_of_a_server_that_could_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    refusal("--port", 0, "--content", "nothing.ckpt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "localhost"), ("::", "localhost")]
)
def test_addresses_that_a_browser_can_open(host, shown):
    assert url_host(host) == shown


def test_others_are_told_an_address_of_numbers_or_a_name():
    """A phone may not know this machine's name."""
    found = own_address(socket.AF_INET)
    assert found == socket.gethostname() or re.fullmatch(r"\d+(\.\d+){3}", found)
