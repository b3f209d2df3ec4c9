"""Names the machine on which results were made, so that nobody compares seconds of different ones unawares."""

import platform
import re
from pathlib import Path

import torch


def machine() -> str:
    """The GPU if there is one, else the processor and its threads, as the end of a sentence."""
    if torch.cuda.is_available():
        return f"on a {torch.cuda.get_device_name()}"
    return f"on a processor ({processor()}, threads: {torch.get_num_threads()})"


def processor() -> str:
    """The name of the processor's model where the system tells it, else what kind it is."""
    described = Path("/proc/cpuinfo")
    found = described.is_file() and re.search(r"^model name\s*: (.+)$", described.read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
