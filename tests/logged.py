"""An `Inpainter` for tests, also in other processes: it tells what it does, and can be killed in the middle of it."""

import os
import signal
import time
from pathlib import Path

from inpaint.photo.inpainter import Inpainter

# environment variables: a file, the number of a photo, how many photos have begun
LOG, VICTIM, ENDLESS = "LOG_OF_TESTS", "VICTIM_OF_TESTS", "ENDLESS_OF_TESTS"


class Logged(Inpainter):
    """Writes `began|filled PROCESS NUMBER` for each photo; its number is the value of its first pixel.

    The first process to fill the victim is killed on the way (SIGKILL: it can do nothing about it). The photo that is
    the ENDLESS-th to begin, whichever that is, takes minutes.
    """

    def fill_photo(self, photo, marked, *, on_progress=None, **options):
        number = int(photo.pixels[0, 0, 0])

        def on_the_way(share):
            if str(number) == os.environ.get(VICTIM) and log().count(f" {number}\n") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if endless:
                time.sleep(120)
            on_progress(share)

        tell(f"began {os.getpid()} {number}")
        endless = str(log().count("began")) == os.environ.get(ENDLESS)
        result = super().fill_photo(photo, marked, on_progress=on_the_way, **options)
        tell(f"filled {os.getpid()} {number}")
        return result


def tell(line):
    with open(os.environ[LOG], "a") as file:  # a short line is written at once, whoever else writes
        file.write(f"{line}\n")


def log():
    return Path(os.environ[LOG]).read_text()
