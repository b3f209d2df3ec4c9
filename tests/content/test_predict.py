"""Stage 1 on holes anywhere: the network predicts the middle, diffusion fills the rest."""

import pytest
import torch
from torch import nn

from inpaint.content.predict import predict, show
from inpaint.imaging.pixels import composite, middle
from inpaint.imaging.smooth import diffuse

MEAN = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)


class Grey(nn.Module):
    """A generator that predicts one grey, and remembers what it was shown."""

    def forward(self, picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.shown = picture, mask
        return torch.full((len(picture), 3, 64, 64), 0.25)


def hole(top: int, bottom: int, left: int, right: int, side: int = 128) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    mask[:, top:bottom, left:right] = 1
    return mask


INSIDE, BORDER, ACROSS, OUTSIDE = hole(40, 80, 50, 90), hole(0, 20, 50, 90), hole(20, 60, 20, 60), hole(100, 120, 5, 25)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))


def test_a_hole_in_the_middle_is_shown_as_the_paper_has_it(picture: torch.Tensor) -> None:
    """Bit by bit the mean colour in the hole and the picture elsewhere; no diffusion."""
    shown = show(picture[None], INSIDE[None], MEAN)
    assert torch.equal(shown.picture[0], composite(picture, MEAN.expand_as(picture), INSIDE))
    assert torch.equal(shown.hole[0], INSIDE)


@pytest.mark.parametrize("mask", [BORDER, ACROSS, OUTSIDE])
def test_what_is_outside_the_middle_is_filled_by_diffusion(mask: torch.Tensor, picture: torch.Tensor) -> None:
    network = Grey()
    filled = predict(network, MEAN, False, picture, mask)
    told = network.shown[1][0]
    assert torch.equal(middle(told), middle(mask))
    assert told.sum() == middle(mask).sum()
    smooth = diffuse(picture, mask)
    expected = torch.where(told > 0, 0.25, smooth)
    assert torch.equal(filled, expected)
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
    assert torch.equal(network.shown[0][0], torch.where(told > 0, MEAN, smooth))


@pytest.mark.parametrize("blend_border", [True, False])
@pytest.mark.parametrize("side", [128, 160])
def test_a_batch_is_its_pictures_one_by_one(blend_border: bool, side: int) -> None:
    pictures = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    holes = [hole(50, 90, 50, 90, side), hole(0, 20, 50, 90, side), hole(20, 70, 20, 70, side), hole(9, 9, 9, 9, side)]
    masks = torch.stack(holes)
    filled = predict(Grey(), MEAN, blend_border, pictures, masks)
    assert filled.shape == (4, 3, 128, 128)
    for i in range(4):
        assert torch.equal(filled[i], predict(Grey(), MEAN, blend_border, pictures[i], masks[i]))


@pytest.mark.parametrize("mask", [INSIDE, BORDER, ACROSS, OUTSIDE])
def test_what_stands_in_the_hole_is_not_looked_at(mask: torch.Tensor, picture: torch.Tensor) -> None:
    other = torch.where(mask > 0, 1 - picture, picture)
    for blend_border in (True, False):
        filled = [predict(Grey(), MEAN, blend_border, each, mask) for each in (picture, other)]
        assert torch.equal(*filled)


def test_nothing_known_is_filled_all_the_same(picture: torch.Tensor) -> None:
    filled = predict(Grey(), MEAN, False, picture, torch.ones(1, 128, 128))
    assert torch.isfinite(filled).all()
    assert (middle(filled) == 0.25).all()


def test_gradients_reach_the_generator(picture: torch.Tensor) -> None:
    layer = nn.Conv2d(3, 3, 1)
    network = type("Net", (nn.Module,), {"forward": lambda self, p, m: middle(layer(p)).sigmoid()})()
    predict(network, MEAN, False, picture, ACROSS).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
