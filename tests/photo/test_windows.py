import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint.imaging.box import Box
from inpaint.imaging.smooth import calmed
from inpaint.photo.windows import CELL, Window, groups, pieces, reflected, scales_of, soften, span, thickness


def marked(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (300, 400)) -> np.ndarray:
    hole = np.zeros(size, dtype=bool)
    for top, left, bottom, right in boxes:
        hole[top:bottom, left:right] = True
    return hole


def test_near_holes_are_one_and_far_ones_are_not():
    near = marked((40, 40, 60, 60), (40, 60 + CELL // 2, 60, 90))
    far = marked((40, 40, 60, 60), (40, 60 + 3 * CELL, 60, 150))
    assert [piece.box for piece in groups(near)] == [Box(40, 40, 60, 90)]
    assert [piece.box for piece in groups(far)] == [Box(40, 40, 60, 60), Box(40, 108, 60, 150)]


@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    density=st.sampled_from([0.001, 0.02, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_pieces_hold_every_pixel_once(seed, height, width, density):
    hole = np.random.default_rng(seed).random((height, width)) < density
    count = np.zeros(hole.shape, dtype=int)
    for piece in pieces(hole):
        count[span(piece.box)] += piece.own
        assert piece.own[0].any()
        assert piece.own[:, -1].any()
    assert np.array_equal(count, hole)


def test_large_holes_come_first_and_compact_ones_are_not_cut():
    found = pieces(marked((10, 10, 30, 30), (100, 100, 290, 290)))
    assert [piece.box for piece in found] == [Box(100, 100, 290, 290), Box(10, 10, 30, 30)]


@pytest.mark.parametrize(("side", "thin"), [(20, True), (28, True), (40, False)])
def test_thin_is_what_no_large_disc_fits_into(side, thin):
    (square,) = pieces(marked((50, 50, 50 + side, 50 + side)))
    (scratch,) = pieces(marked((50, 50, 50 + side, 160)))
    assert square.thin == scratch.thin == thin
    assert thickness(np.zeros((5, 5), dtype=bool)) == 0


def test_a_scratch_is_cut_into_short_pieces():
    hole = np.eye(2000, dtype=bool)
    found = pieces(hole | np.roll(hole, 1, 1))
    assert len(found) > 10
    assert max(max(piece.box.size) for piece in found) <= 112


@given(top=st.integers(0, 3000), left=st.integers(0, 3000), height=st.integers(1, 1500), width=st.integers(1, 1500))
@settings(max_examples=200, deadline=None)
def test_a_window_has_its_hole_in_the_middle_half(top, left, height, width):
    box = Box(top, left, top + height, left + width)
    window = Window.around(box)
    at = Box(box.top - window.top, box.left - window.left, box.bottom - window.top, box.right - window.left)
    margin = window.side // 32  # known pixels in the middle half: the border that the network is shown
    assert min(at.top, at.left) >= window.side // 4 + margin - 1
    assert max(at.bottom, at.right) <= window.side - window.side // 4 - margin + 1
    scales = scales_of(window.side)
    assert window.side % (8 << (scales - 1)) == 0
    assert 88 <= window.side >> (scales - 1) <= 192


def test_reflection_repeats_no_border_pixel():
    assert reflected(np.arange(-3, 8), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert reflected(np.arange(-2, 3), 1).tolist() == [0] * 5


def test_a_window_is_cut_out_mirrored_and_knows_what_lies_within():
    picture = np.arange(12).reshape(3, 4)
    assert Window(-1, 2, 4).cut(picture).tolist() == [[6, 7, 6, 5], [2, 3, 2, 1], [6, 7, 6, 5], [10, 11, 10, 9]]
    assert Window(-1, 2, 4).within((3, 4), least=2) == Box(1, 0, 4, 2)
    assert Window(-1, 2, 4).within((3, 4), least=3) == Box(0, 0, 4, 4)


def test_soft_weights_are_a_disc_with_a_rim():
    point = marked((50, 50, 51, 51), size=(101, 101))
    weights = soften(point, dilate=8, feather=3)
    y, x = np.mgrid[-50:51, -50:51]
    distance = np.hypot(y, x)
    assert (weights[distance <= 8] == 255).all()
    assert (weights[distance >= 11] == 0).all()
    rim = weights[(distance > 8) & (distance < 11)]
    assert ((rim > 0) & (rim < 255)).all()
    assert np.array_equal(soften(point, 0, 0) > 0, point)
    assert np.array_equal(soften(marked((0, 0, 1, 1), size=(20, 20)), 3, 0)[0] > 0, np.arange(20) <= 3)


def middle_hole(side: int = 32) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., 8:24, 10:20] = 1
    return mask


def test_the_colours_of_a_hole_are_calm_and_its_brightness_stays():
    """Coloured noise of one brightness fades; a hole in a grey picture is grey; a colour all over stays."""
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (luma * noise).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    hole = middle_hole().expand_as(noise) > 0
    calm = calmed(noise, middle_hole())
    assert torch.equal(calm[~hole], noise[~hole])
    assert (calm - grey)[hole].std() < 0.5 * (noise - grey)[hole].std()
    torch.testing.assert_close(calmed(torch.where(hole, noise, grey), middle_hole()), grey, atol=1e-5, rtol=0)
    dim = 0.3 + 0.4 * grey + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)
    torch.testing.assert_close(calmed(dim, middle_hole()), dim, atol=1e-5, rtol=0)
    assert torch.equal(calmed(noise, torch.ones_like(middle_hole())), noise)
