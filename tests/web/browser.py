"""Pages in a real browser, and what a person does there: choose, drop, paint, look, keep."""

import base64
import io
import json
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Download, JSHandle, Locator, Page, Route
from typer.testing import CliRunner

from tests.web.helpers import PATIENCE, fill_command

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
AWAY = (3.0, 3.0)  # a place of the window where the mouse is over nothing
Point = tuple[float, float]


def program() -> str | None:
    """Where a browser is installed."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


@dataclass
class Seen:
    """What pages asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Looks at all pages of a context from now on."""
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        context.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))

    def check(self, origin: str, allowed: str | None) -> None:
        """Nothing went elsewhere, nothing was wrong but what is allowed."""
        elsewhere = [url for url in self.requests if not url.startswith((f"{origin}/", "data:", f"blob:{origin}/"))]
        assert not elsewhere, elsewhere
        wrong = [text for text in self.complaints if allowed is None or allowed not in text]
        assert not wrong, wrong


class Tab:
    """A page, and what a person does there."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url, self.page = url, context.new_page()
        self.page.goto(url)

    def __getitem__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def wait(self, state: str) -> None:
        """Waits until the page is at "start", "painting", "working" or "done"."""
        self[f'html[data-state="{state}"]'].wait_for(state="attached")

    @property
    def session(self) -> str:
        """The session's name."""
        return json.loads(self.page.evaluate("sessionStorage.getItem('inpaint')"))["id"]

    def beside(self) -> "Tab":
        """Another tab of the same browser."""
        return Tab(self.page.context, self.url)

    def duplicate(self) -> "Tab":
        """The same in another tab, as browsers duplicate them: with the same session."""
        kept = self.page.evaluate("sessionStorage.getItem('inpaint')")
        other = self.beside()
        other.page.evaluate("(kept) => sessionStorage.setItem('inpaint', kept)", kept)
        other.page.reload()
        return other

    def hide(self, hidden: bool = True) -> None:
        """Makes it a tab that is not in front, as which a browser without windows treats none."""
        script = """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        self.page.evaluate(script, hidden)

    @contextmanager
    def held(self, path: str) -> Iterator[list[Route]]:
        """Holds requests for a path up, within it; yields those that have come."""
        routes: list[Route] = []
        self.page.route(path, lambda route: routes.append(route))
        yield routes
        for route in routes:
            route.continue_()
        self.page.unroute(path)

    # ---- photos

    def choose(self, name: str, photo: bytes, at: str = "#photo-file", state: str = "painting") -> None:
        """Chooses a file, as if in the dialog for files."""
        self[at].set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": photo})
        self.wait(state)

    def carried(self, name: str, photo: bytes) -> JSHandle:
        """A file that is dragged, or in the clipboard."""
        script = """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name));
            return data;
        }"""
        return self.page.evaluate_handle(script, [name, base64.b64encode(photo).decode()])

    def drop(self, name: str, photo: bytes) -> None:
        """Drops a file on the page."""
        data = self.carried(name, photo)
        for event in ("dragenter", "dragover", "drop"):
            self["#drop"].dispatch_event(event, {"dataTransfer": data})
        self.wait("painting")

    def paste(self, name: str, photo: bytes) -> None:
        """Pastes a file."""
        script = (
            "(data) => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))"
        )
        self.page.evaluate(script, self.carried(name, photo))
        self.wait("painting")

    # ---- painting

    def screen(self, x: float, y: float) -> Point:
        """Where a point of the photo is in the window."""
        left, top = self.page.evaluate("([x, y]) => window.inpaintView.toScreen(x, y)", [x, y])
        return left, top

    @property
    def scale(self) -> float:
        """How large a pixel of the photo is in the window."""
        return self.page.evaluate("window.inpaintView.scale")

    def zoom(self, scale: float, x: float, y: float) -> None:
        """Zooms in by the wheel to a scale; a point of the photo stays where it is."""
        self.page.mouse.move(*self.screen(x, y))
        while (before := self.scale) < scale - 1e-3:
            self.page.mouse.wheel(0, -min(np.log(scale / before) / 0.0015, 250))
            until(lambda: self.scale > before)

    @contextmanager
    def marking(self) -> Iterator[None]:
        """Waits, afterwards, until the page shows another mask than before."""
        before = self["html"].get_attribute("data-mask")
        yield
        self[f'html:not([data-mask="{before}"])'].wait_for(state="attached")

    def stroke(self, *points: Point, tool: str | None = None, size: int | None = None) -> None:
        """Draws with the mouse through points of the photo, and waits for the mask."""
        if tool is not None:
            self[f'[data-tool="{tool}"]'].click()
        if size is not None:
            self["#size"].fill(str(size))
        with self.marking():
            self.page.mouse.move(*self.screen(*points[0]))
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*self.screen(*point), steps=3)
            self.page.mouse.up()
        self.page.mouse.move(*AWAY)

    def press(self, button: str) -> None:
        """Presses a button of the painting tools, and waits for the mask."""
        with self.marking():
            self[button].click()

    @property
    def mask(self) -> np.ndarray:
        """What is marked, by the file that the page offers."""
        return as_mask(self.download("#save-mask")[1])

    # ---- filling

    def remove(self, preset: str | None = "instant", variants: int = 1, state: str = "done") -> None:
        """Removes what is marked."""
        if preset is not None:
            self[f"input[name=preset][value={preset}]"].check()
        self[f'input[name=variants][value="{variants}"]'].check()
        self["#remove"].click()
        self.wait(state)

    def download(self, link: str) -> tuple[str, bytes]:
        """The name and the bytes of what a link gives."""
        with self.page.expect_download() as download:
            self[link].click()
        return saved(download.value)

    def by_command(self, folder: Path, name: str, photo: bytes) -> tuple[str, bytes]:
        """The name and the bytes of what the command writes that the page shows, with the mask that the page gives."""
        words = shlex.split(self["#command"].text_content() or "")
        assert words[:5] == ["python", "-m", "inpaint.fill", name, "--mask"]
        mask_name, mask = self.download("#result-mask")
        assert words[5] == mask_name
        folder.mkdir()
        (folder / name).write_bytes(photo)
        (folder / mask_name).write_bytes(mask)
        with chdir(folder):
            done = CliRunner().invoke(fill_command, [*words[3:], "--device", "cpu"])
        assert done.exit_code == 0, done.output
        (result,) = {path.name for path in folder.iterdir()} - {name, mask_name}
        return result, (folder / result).read_bytes()

    # ---- looking

    def colour(self, x: float, y: float) -> np.ndarray:
        """What a place of the photo looks like."""
        left, top = self.screen(x, y)
        shot = self.page.screenshot(clip={"x": round(left) - 1, "y": round(top) - 1, "width": 3, "height": 3})
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=float).mean((0, 1))

    def looks(self, x: float, y: float, wanted: Sequence[float] | np.ndarray, within: float = 20) -> None:
        """Waits until a place of the photo has about that colour."""
        until(lambda: np.abs(self.colour(x, y) - wanted).max() <= within, lambda: f"{self.colour(x, y)}, not {wanted}")

    @property
    def focused(self) -> str:
        """The id of what has the focus, or what it is."""
        return self.page.evaluate("document.activeElement.id || document.activeElement.tagName")

    def tab_to(self, id: str, key: str = "Tab") -> None:
        """Presses a key until the focus is there."""
        passed = []
        while self.focused != id:
            passed.append(self.focused)
            assert len(passed) < 50, passed
            self.page.keyboard.press(key)
            assert self.focused != "BODY" or key == "Tab", passed


def saved(download: Download) -> tuple[str, bytes]:
    """The name and the bytes of a download."""
    return download.suggested_filename, Path(download.path()).read_bytes()


def as_mask(file: bytes) -> np.ndarray:
    """What a mask file marks."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("L")) > 127


def until(true: Callable[[], Any], tell: Callable[[], str] = lambda: "it never came true", seconds: float = 20) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, tell()
        time.sleep(0.05)


class Fingers:
    """Fingers on a phone's screen."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)

    def __call__(self, kind: str, *points: Point) -> None:
        """Something that all fingers do that are on the screen: "touchStart", "touchMove", "touchEnd"."""
        at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


class Door:
    """An address that leads to a server as long as the door is open: a server that goes away and comes back."""

    def __init__(self, url: str) -> None:
        self.server = url.rpartition(":")[2]
        self.port = 0
        self.ends: list[socket.socket] = []
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Lets visitors in."""
        self.listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.admit, args=[self.listening], daemon=True).start()

    def close(self) -> None:
        """Turns everybody out, and lets nobody in."""
        for end in (self.listening, *self.ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.ends.clear()

    def admit(self, listening: socket.socket) -> None:
        """Lets visitors in until the door is closed."""
        with suppress(OSError):
            while True:
                visitor, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", int(self.server)))
                self.ends += [visitor, server]
                for source, target in ((visitor, server), (server, visitor)):
                    threading.Thread(target=self.carry, args=[source, target], daemon=True).start()

    def carry(self, source: socket.socket, target: socket.socket) -> None:
        """Carries what one says to the other."""
        with suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
