import os
import subprocess
import sys

import pytest


def python(code, **more):
    """What a fresh process prints that has only these of the variables that decide."""
    deciding = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    kept = {k: v for k, v in os.environ.items() if k not in deciding and not k.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | more, capture_output=True, text=True, check=True)
    return done.stdout.strip()


SHOW = "import os, sys, inpaint; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"


def test_threads_wait_briefly_before_torch_is_loaded():
    assert python(SHOW) == "2000 False"


@pytest.mark.parametrize("own", ["OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stays(own):
    assert python(SHOW, **{own: "1"}) == f"{'1' if own == 'GOMP_SPINCOUNT' else None} False"


CHURN = """
import resource, inpaint, torch
def once():
    torch.empty(2**24).fill_(1)  # 64 MiB
for _ in range(16):
    once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    once()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif("not hasattr(__import__('ctypes').CDLL(None), 'mallopt')", reason="not glibc")
def test_freed_memory_is_used_again_without_asking_the_kernel():
    assert int(python(CHURN)) < 1000
    assert int(python(CHURN, MALLOC_ARENA_MAX="2")) > 1000  # who has decided about memory, has
