"""A server on a free port of this machine, and what tests send it."""

import io
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import typer
import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageCms
from typer.testing import CliRunner

from inpaint.fill import __main__ as command
from inpaint.photo.defaults import MAX_PIXELS, MAX_SIDE
from inpaint.photo.files import write_photo
from inpaint.photo.photo import Photo
from inpaint.web.server import create_app
from inpaint.web.sessions import Sessions
from inpaint.web.work import Queue, Task

SIZE = (72, 96)  # height, width
BOX = (40, 30, 56, 44)
PATIENCE = 20  # seconds, after which something is broken, not slow
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # which holds the time of day

fill_command = typer.Typer()
fill_command.command()(command.fill)


@dataclass
class Running:
    """A server that runs."""

    url: str
    app: FastAPI
    temporary: Path  # what stands for the system's folder for temporary files

    @property
    def client(self) -> httpx.Client:
        """Asks it, as a program on this machine does."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    @property
    def queue(self) -> Queue:
        """Its queue, which only its functions know."""
        (fill,) = (route.endpoint for route in self.app.routes if getattr(route, "path", "") == "/api/fill")
        (queue,) = (cell.cell_contents for cell in fill.__closure__ if isinstance(cell.cell_contents, Queue))
        return queue

    @property
    def sessions(self) -> Sessions:
        """Its sessions."""
        (begin,) = (route.endpoint for route in self.app.routes if route.name == "end")
        (sessions,) = (cell.cell_contents for cell in begin.__closure__ if isinstance(cell.cell_contents, Sessions))
        return sessions

    @contextmanager
    def busy(self) -> Iterator[Callable[[], None]]:
        """Within it the one device has other work to do, until what is yielded is called."""
        began, goes_on = threading.Event(), threading.Event()

        def work(device: str, task: Task) -> None:
            began.set()
            assert goes_on.wait(PATIENCE)

        task = Task(work)
        self.queue.add(task)
        assert began.wait(PATIENCE)
        try:
            yield goes_on.set
        finally:
            goes_on.set()
            task.ended.result(PATIENCE)

    @property
    def files(self) -> list[Path]:
        """All that it keeps, folders and files."""
        there = os.walk(self.temporary)  # which does not mind what goes meanwhile
        return sorted(Path(folder, name) for folder, folders, files in there for name in (*folders, *files))


@contextmanager
def running(
    temporary: Path, host: str = "127.0.0.1", password: str | None = None, more: str = "", **choices: Any
) -> Iterator[Running]:
    """Runs a server; afterwards it has stopped."""
    choices = {"content": None, "max_side": MAX_SIDE, "max_pixels": MAX_PIXELS} | choices
    with patch.object(tempfile, "tempdir", str(temporary)):
        app = create_app(choices, ["cpu"], host, password, more)
        with serving(app) as url:
            yield Running(url, app, temporary)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves an application by a thread; yields its address. Requests wait until it has started."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, server_header=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        if isinstance(app, FastAPI):
            app.state.closing = True
        server.should_exit = True
        thread.join(PATIENCE)
        listening.close()
        assert not thread.is_alive()


def pixels(size: tuple[int, int] = SIZE, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A texture."""
    rows, columns = np.indices(size)
    waves = np.stack([np.sin(rows / (2 + n)) + np.cos(columns / (3 + n)) for n in range(channels)], -1)
    noise = np.random.default_rng(0).random(waves.shape)
    return ((waves + 2 + noise) / 5 * np.iinfo(dtype).max).astype(dtype)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(size: tuple[int, int] = SIZE) -> bytes:
    """A photo of 8 bits."""
    return encoded(Image.fromarray(pixels(size)))


def jpeg() -> bytes:
    """A photo as cameras write it: with EXIF, which says that it lies on its side, and an ICC profile."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    return encoded(Image.fromarray(pixels(SIZE[::-1])), "JPEG", quality=88, exif=exif, icc_profile=PROFILE)


def deep_png(folder: Path) -> bytes:
    """A photo of 16 bits a channel."""
    write_photo(Photo(pixels(dtype=np.uint16), "RGB"), folder / "deep.png")
    return (folder / "deep.png").read_bytes()


def marked(box: tuple[int, int, int, int] = BOX, size: tuple[int, int] = SIZE) -> np.ndarray:
    """What a box marks."""
    left, top, right, bottom = box
    there = np.zeros(size, dtype=bool)
    there[top:bottom, left:right] = True
    return there


def mask(box: tuple[int, int, int, int] = BOX, size: tuple[int, int] = SIZE) -> bytes:
    """A mask file: a box is white."""
    return encoded(Image.fromarray(marked(box, size)))


def painted_box(box: tuple[int, int, int, int] = BOX) -> dict[str, Any]:
    """A stroke that marks a box."""
    return {"tool": "box", "points": [box[:2], box[2:]]}


def by_command(folder: Path, name: str, photo: bytes, *arguments: object) -> bytes:
    """The file that `python -m inpaint.fill` writes for a photo."""
    folder.mkdir()
    (folder / name).write_bytes(photo)
    before = set(folder.iterdir())
    done = CliRunner().invoke(fill_command, [str(folder / name), *map(str, arguments), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    (result,) = set(folder.iterdir()) - before
    return result.read_bytes()


def begin(client: httpx.Client, name: str = "photo.png", photo: bytes | None = None) -> str:
    """Begins a session; returns its address."""
    answer = client.post("/api/sessions", files={"photo": (name, photo or png())})
    assert answer.status_code == 201, answer.text
    return f"/api/sessions/{answer.json()['id']}"


def paint(client: httpx.Client, session: str, *strokes: dict[str, Any], step: int = 0) -> Any:
    """Paints; returns what is marked."""
    answer = client.put(f"{session}/steps/{step}/strokes", json={"strokes": strokes or [painted_box()]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: httpx.Client, session: str) -> Iterator[dict[str, Any]]:
    """What the server tells of a session, as it happens; it ends when the session does."""
    with client.stream("GET", f"{session}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"  # by proxies
        for line in answer.iter_lines():
            if line == "event: gone":
                return
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def filled(client: httpx.Client, session: str, step: int = 0, **wish: Any) -> list[dict[str, Any]]:
    """Fills a step, by "instant" unless the wish says otherwise; returns all events until it is done."""
    answer = client.post(f"{session}/steps/{step}/fill", json={"preset": "instant"} | wish)
    assert answer.status_code == 202, answer.text
    heard = until_over(client, session)
    assert heard[-1]["fill"]["state"] == "done", heard[-1]
    return heard


def until_over(client: httpx.Client, session: str) -> list[dict[str, Any]]:
    """All events until a fill has ended."""
    heard = []
    for event in events(client, session):
        heard.append(event)
        if event["fill"]["state"] in ("done", "failed", "cancelled"):
            return heard
    raise AssertionError(heard)
