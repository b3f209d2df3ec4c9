"""G'MIC's filling, to compare with: a program of its own, which is there or not (Debian's package gmic)."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

POLL = 0.02  # seconds between two looks at the memory that the program holds


def gmic_version() -> str | None:
    """The version of the program that is installed; None if there is none."""
    if shutil.which("gmic") is None:
        return None
    told = subprocess.run(["gmic", "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Version ([\d.]+)", told)
    return found[1] if found else "of an unknown version"


class Gmic:
    """Fills holes by the command's `inpaint_matchpatch`, patches found at several scales, with all its defaults."""

    def __init__(self) -> None:
        self.peak = 0  # bytes of main memory that the last one held at most; 0 where the system does not say

    def __call__(
        self, photo: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The photo with what the mask marks filled; at the hole's border the command blends it into what is around."""
        with tempfile.TemporaryDirectory() as name:
            i, m, o = (Path(name) / file for file in ("i.ppm", "m.pgm", "o.ppm"))  # which take no time to compress
            Image.fromarray(photo).save(i)
            Image.fromarray(mask.astype(np.uint8) * 255).save(m)
            # rounded, for what it writes is cut off, which would make every pixel of the photo darker by one
            command = ["gmic", str(i), str(m), "-inpaint_matchpatch[0]", "[1]", "-round[0]", "-o[0]", str(o)]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                while self._look(process):
                    pass
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, command)
            return np.array(Image.open(o))

    def _look(self, process: subprocess.Popen[bytes]) -> bool:
        """Notes the memory that the program has held so far; whether it still runs a moment later."""
        try:  # its own figure: what the system says of ended programs begins with what their parent held
            held = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"))
            self.peak = int(held[1]) * 1024 if held else self.peak
        except OSError:
            pass
        try:
            process.wait(POLL)
        except subprocess.TimeoutExpired:
            return True
        return False
