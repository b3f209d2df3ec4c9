import pytest
import torch

from inpaint.imaging.pixels import middle
from inpaint.imaging.smooth import diffuse, seamless


def middle_square(side):
    mask = torch.zeros(1, side, side)
    middle(mask).fill_(1)
    return mask


def test_seamless_takes_away_the_step_and_only_that():
    """A hole that is too bright everywhere meets its surroundings at the border; its middle stays, the outside too."""
    mask = middle_square(64)
    picture = torch.full((3, 64, 64), 0.4)
    filled = picture + 0.3 * mask
    done = seamless(picture, filled, mask)
    across = done[0, 32, 15:32]  # from the last known pixel to the hole's middle
    assert (across.diff() >= 0).all()
    assert across.diff().max() < 0.1  # of a step of 0.3: nowhere a visible one
    assert across[-1] == pytest.approx(0.7, abs=2e-2)
    assert torch.equal(done * (1 - mask), picture * (1 - mask))
    torch.testing.assert_close(seamless(picture, picture, mask), picture)


def test_seamless_fills_a_scratch_with_its_neighbours():
    mask = torch.zeros(1, 9, 9)
    mask[..., 4] = 1
    ramp = torch.linspace(0, 1, 9).expand(3, 9, 9)
    torch.testing.assert_close(seamless(ramp, torch.zeros_like(ramp), mask), ramp, atol=0.02, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (45, 33), (1, 7)])
def test_a_diffused_hole_is_smooth(size):
    """A ramp is its own smooth filling; nothing inside is above or below all that is known."""
    ramp = torch.linspace(0.2, 0.8, size[1]).expand(3, *size)
    mask = torch.zeros(1, *size)
    mask[..., size[0] // 4 : 3 * size[0] // 4 + 1, 2 : size[1] // 2 + 1] = 1
    spoilt = torch.where(mask > 0, 9.0, ramp)  # never looked at
    assert (diffuse(spoilt, mask) - ramp).abs().max() < 0.06
    noise = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    filled, known = diffuse(noise, mask), mask.expand_as(noise) == 0
    assert torch.equal(filled[known], noise[known])
    assert filled.min() >= noise[known].min() - 1e-6
    assert filled.max() <= noise[known].max() + 1e-6


def test_nothing_known_diffuses_to_nothing():
    assert torch.equal(diffuse(torch.rand(3, 8, 8), torch.ones(1, 8, 8)), torch.zeros(3, 8, 8))


def middle_hole(side: int = 32) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    mask[..., 8:24, 10:20] = 1
    return mask
