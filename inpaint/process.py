"""Prepares this process before torch is imported: how its threads wait, and what becomes of memory that is freed.

Both are decided when torch is loaded or a tensor is first freed, so `import inpaint` does it. What the user has set in
the environment stays.
"""

import ctypes
import os
import sys

WAITING = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT")  # what a user may have decided
SPINS = "2000"  # about 20 microseconds
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)
KEPT = 2**30  # bytes


def prepare() -> None:
    """Makes the many short parallel steps and the large tensors of a fill cheap on a busy machine too."""
    wait_briefly()
    keep_memory()


def wait_briefly() -> None:
    """OpenMP's threads soon sleep while they wait for each other, so that where cores are busy the others can go on.

    Left alone they spin for longer than a time slice, which a busy core does not have: beside three busy loops on two
    cores a fill then takes twice as long. On idle cores this loses a twentieth.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def keep_memory() -> None:
    """Memory of freed tensors stays with the process, up to a GiB, instead of being returned and asked for again.

    By default glibc maps every large tensor anew, and the kernel clears it page by page. Of three fills at once on two
    cores each is a tenth quicker so, and several times on a virtual machine whose host takes back what is returned.
    It costs a twentieth of the memory. Elsewhere than on glibc, or where MALLOC_... is set, nothing is done.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, 2**26)
