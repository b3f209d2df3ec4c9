import sys

import pytest
import torch
from torch import Tensor

from inpaint.classical.filling import LOADERS, fill, filler
from inpaint.errors import UserError

METHODS = ("telea", "ns", "biharmonic", "patchmatch")


def example(side: int = 64) -> tuple[Tensor, Tensor]:
    """A smooth slope of colours, and a hole near its middle."""
    across = torch.linspace(0.2, 0.8, side)
    picture = torch.stack(
        [across.expand(side, side), across[:, None].expand(side, side), torch.full((side, side), 0.5)]
    )
    mask = torch.zeros(1, side, side)
    mask[:, 20:40, 24:44] = 1
    return picture, mask


def test_these_are_all() -> None:
    assert tuple(LOADERS) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_slope_goes_on_and_the_rest_stays(method: str) -> None:
    picture, mask = example()
    filled = fill(picture, mask, method)
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
    worst = float((filled - picture).abs().max())
    assert worst < (0.01 if method == "biharmonic" else 0.15)  # a slope is biharmonic; the others only come near
    assert torch.equal(filled, fill(picture, mask, filler(method)))


@pytest.mark.parametrize("method", METHODS)
def test_what_stands_in_the_hole_is_not_looked_at(method: str) -> None:
    picture, mask = example()
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fill(picture, mask, method), fill(picture * (1 - mask) + noise * mask, mask, method))


def test_patchmatch_repeats_a_texture() -> None:
    checks = ((torch.arange(96)[:, None] // 4 + torch.arange(96) // 4) % 2).float().expand(3, 96, 96)
    mask = torch.zeros(1, 96, 96)
    mask[:, 36:60, 36:60] = 1
    hole = mask[0] > 0
    errors = {m: float((fill(checks, mask, m) - checks)[:, hole].abs().mean()) for m in ("patchmatch", "telea")}
    assert errors["patchmatch"] < 0.2 < errors["telea"]


def test_a_mask_of_everything_is_refused() -> None:
    with pytest.raises(UserError, match="covers the whole picture"):
        fill(example()[0], torch.ones(1, 64, 64), "biharmonic")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UserError, match=r"no classical method 'magic': choose telea, ns, biharmonic, patchmatch"):
        filler("magic")


@pytest.mark.parametrize(
    ("method", "module", "extra"),
    [("telea", "cv2", "classical"), ("ns", "cv2", "classical"), ("patchmatch", "patchmatch", "patchmatch")],
)
def test_a_missing_library_names_its_extra(
    method: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"neural-patch-synthesis\[{extra}\]"):
        filler(method)


def test_a_patchmatch_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchmatch.patchmatch_available", False)
    with pytest.raises(UserError, match="does not load here"):
        filler("patchmatch")
