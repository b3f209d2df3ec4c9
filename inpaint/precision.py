"""Chooses the device and the precision of networks: bfloat16 where the hardware multiplies it, else float32."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from inpaint.errors import UserError


def fast_dtype(device: torch.device) -> torch.dtype:
    """What a device is fast at: the one place that decides precision."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def fast_training(accelerator: str) -> str:
    """The trainer's precision, "bf16-mixed" or "32-true", for the accelerator that it was given ("cpu", "gpu", ...)."""
    chosen = None if accelerator == "cpu" else torch.accelerator.current_accelerator(check_available=True)
    return "bf16-mixed" if fast_dtype(chosen or torch.device("cpu")) == torch.bfloat16 else "32-true"


class _Exact:
    """The flags are the process's own: the first thread that comes sets them, the last one to go puts them back."""

    lock = threading.Lock()
    threads = 0
    flags = ExitStack()


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within it a GPU's convolutions give the same bits each time, and multiply float32 as float32, not as TF32."""
    with _Exact.lock:
        if not _Exact.threads:
            _Exact.flags.enter_context(
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
            )
        _Exact.threads += 1
    try:
        yield
    finally:
        with _Exact.lock:
            _Exact.threads -= 1
            if not _Exact.threads:
                _Exact.flags.close()


def find_device(name: str) -> torch.device:
    """Finds the device of a name: auto, cpu, cuda, cuda:<number> or mps.

    Raises:
        UserError: there is no such device, here or at all.
    """
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    if not re.fullmatch("cpu|mps|cuda(:[0-9]+)?", name):
        raise UserError(f"There is no device {name!r}: choose auto, cpu, cuda, cuda:<number> or mps.")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(
            f"There is no device {name}: {torch.cuda.device_count()} CUDA devices were found. Choose auto or cpu."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("There is no device mps here: choose auto or cpu.")
    return torch.device(kind, int(number)) if number else torch.device(kind)
