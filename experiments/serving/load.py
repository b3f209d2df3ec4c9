"""Several people and programs at once, for minutes: whether every answer is right, and memory stays where it was.

python -m experiments.serving.load [--clients 8] [--minutes 5]
"""

import argparse
import io
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
from PIL import Image
from skimage import data

from experiments.serving.served import served

SIZE = 160  # pixels a side
PATIENCE = 300  # seconds that an answer may take


class Problem(NamedTuple):
    """A photo and a mask, as files hold them."""

    name: str
    photo: bytes
    mask: bytes


class Tally:
    """What all clients saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    def note(self, kind: str, seconds: float | None = None, wrong: str = "") -> None:
        """Notes that something was done, how long it took, and what was wrong with it."""
        with self.lock:
            self.counts[kind] += 1
            if seconds is not None:
                self.seconds.append(seconds)
            if wrong:
                self.wrong.append(f"{kind}: {wrong}")


def problems() -> list[Problem]:
    """Small photos of several formats."""
    pairs = []
    for number, name in enumerate(("coffee", "astronaut", "chelsea")):
        photo = Image.fromarray(getattr(data, name)()).resize((SIZE, SIZE))
        marked = np.zeros((SIZE, SIZE), dtype=bool)
        marked[60:90, 50 + 10 * number : 90 + 10 * number] = True
        kind = "PNG" if number else "JPEG"
        pairs.append(Problem(f"{name}.{kind.lower()}", encoded(photo, kind), encoded(Image.fromarray(marked), "PNG")))
    return pairs


def encoded(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def right_answers(pairs: list[Problem], folder: Path) -> list[bytes]:
    """What the command writes for each."""
    (folder / "masks").mkdir()
    for name, photo, mask in pairs:
        (folder / name).write_bytes(photo)
        (folder / "masks" / f"{name}.png").write_bytes(mask)
    command = [sys.executable, "-m", "inpaint.fill", str(folder), "--mask", str(folder / "masks")]
    subprocess.run([*command, "-o", str(folder / "filled"), "--preset", "instant"], check=True, capture_output=True)
    return [(folder / "filled" / name).read_bytes() for name, *_ in pairs]


def program(client: httpx.Client, problem: Problem, answer: bytes, tally: Tally) -> None:
    """Fills as programs do."""
    began = time.monotonic()
    files = {"photo": (problem.name, problem.photo), "mask": ("mask.png", problem.mask)}
    got = client.post("/api/fill", files=files, data={"preset": "instant"})
    got.raise_for_status()
    tally.note("programs' fills", time.monotonic() - began, "" if got.content == answer else "other bytes")


def page(client: httpx.Client, problem: Problem, answer: bytes, cancels: bool, tally: Tally) -> None:
    """Does as the page does: a photo, a mask, a fill that it listens to, and either the result or a cancel."""
    session = (
        client.post("/api/sessions", files={"photo": (problem.name, problem.photo)}).raise_for_status().json()["id"]
    )
    step = f"/api/sessions/{session}/steps/0"
    file = client.post(f"{step}/masks", files={"mask": ("mask.png", problem.mask)}).raise_for_status().json()["file"]
    client.put(f"{step}/strokes", json={"strokes": [{"tool": "file", "file": file}]}).raise_for_status()
    began = time.monotonic()
    client.post(f"{step}/fill", json={"preset": "instant"}).raise_for_status()
    if cancels:
        state = client.delete(f"/api/sessions/{session}/fill").raise_for_status().json()["state"]
        tally.note("cancelled", wrong="" if state in ("cancelled", "done") else state)
    else:
        with client.stream("GET", f"/api/sessions/{session}/events") as events:
            for line in events.iter_lines():
                event = json.loads(line[6:]) if line.startswith("data: ") else {}
                if event and event["fill"]["state"] in ("done", "failed", "cancelled"):
                    break
        number = event["results"][-1]["number"]
        got = client.get(f"{step}/results/{number}/file").raise_for_status().content
        tally.note("the page's fills", time.monotonic() - began, "" if got == answer else "other bytes")
    client.delete(f"/api/sessions/{session}").raise_for_status()


def attempt(once: Callable[[], None], tally: Tally) -> None:
    """Does it once; what goes wrong is noted."""
    try:
        once()
    except Exception as error:
        tally.note("errors", wrong=f"{type(error).__name__}: {error}")
        time.sleep(1)


def work(number: int, address: str, pairs: list[Problem], answers: list[bytes], until: float, tally: Tally) -> None:
    """One client: a program if its number is even, else a page, of whose fills every fourth is cancelled."""
    with httpx.Client(base_url=address, timeout=PATIENCE) as client:
        for turn in itertools.count(number):
            if time.monotonic() > until:
                return
            problem, answer = pairs[turn % len(pairs)], answers[turn % len(pairs)]
            if number % 2 == 0:
                attempt(partial(program, client, problem, answer, tally), tally)
            else:
                attempt(partial(page, client, problem, answer, turn % 4 == 3, tally), tally)


def main() -> None:
    """Serves, sends, measures, prints."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--minutes", type=float, default=5)
    chosen = options.parse_args()
    pairs, tally = problems(), Tally()
    with tempfile.TemporaryDirectory() as folder:
        answers = right_answers(pairs, Path(folder))
    with served() as (address, server):
        began = time.monotonic()
        until = began + 60 * chosen.minutes
        threads = [
            threading.Thread(target=work, args=(number, address, pairs, answers, until, tally))
            for number in range(chosen.clients)
        ]
        for thread in threads:
            thread.start()
        process, memory = psutil.Process(server), []
        while any(thread.is_alive() for thread in threads):
            memory.append((time.monotonic() - began, process.memory_info().rss))
            time.sleep(1)
        files = process.num_fds()
    seconds = np.array(tally.seconds)
    middle = [rss for at, rss in memory if at > 30 * chosen.minutes]
    print(", ".join(f"{count} {kind}" for kind, count in sorted(tally.counts.items())))
    print(f"wrong: {len(tally.wrong)}", *tally.wrong[:10], sep="\n  ")
    rate = len(seconds) / (memory[-1][0])
    print(f"{rate:.2f} fills a second; an answer takes {np.median(seconds):.1f} s, at most {seconds.max():.1f} s")
    for at in (30, 60 * chosen.minutes / 2, 60 * chosen.minutes):
        rss = max(rss for when, rss in memory if when <= at)
        print(f"memory, at most, in the first {at:.0f} s: {rss / 2**20:.0f} MiB")
    print(f"memory in the second half: {min(middle) / 2**20:.0f} to {max(middle) / 2**20:.0f} MiB; {files} open files")


if __name__ == "__main__":
    main()
