from pathlib import Path

import pytest
import torch

from inpaint.precision import exact_convolutions, fast_training
from inpaint.train import run as entry
from tests.train.test_train import composed


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_bfloat16_where_the_processor_multiplies_it(
    accelerator: str, native: bool, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert fast_training(accelerator) == expected
    cfg = composed(tmp_path, [f"trainer.accelerator={accelerator}"])
    assert entry.build(cfg.trainer).precision == expected


@pytest.mark.parametrize(
    ("device", "native", "expected"),
    [("cuda", True, "bf16-mixed"), ("cuda", False, "32-true"), ("mps", True, "32-true")],
)
def test_on_an_accelerator_its_own_abilities_decide(
    device: str, native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(device))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert fast_training("gpu") == expected


def test_a_precision_can_be_chosen(tmp_path: Path) -> None:
    for precision in ("32-true", "bf16-mixed"):
        assert entry.build(composed(tmp_path, [f"trainer.precision={precision}"]).trainer).precision == precision


def test_convolutions_stay_exact_until_the_last_thread_is_done():
    """Fills of several devices begin and end when they like, and what was set before comes back."""

    def flags() -> tuple[bool, bool]:
        return torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32

    before = flags()
    first, second = exact_convolutions(), exact_convolutions()
    first.__enter__()
    second.__enter__()
    assert flags() == (True, False)
    first.__exit__(None, None, None)
    assert flags() == (True, False)
    second.__exit__(None, None, None)
    assert flags() == before
    with pytest.raises(ZeroDivisionError), exact_convolutions():
        raise ZeroDivisionError
    assert flags() == before
