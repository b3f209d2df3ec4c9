import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint.imaging.box import Box
from inpaint.photo.windows import (
    CELL,
    FINE,
    LONG_AND_THIN,
    TOGETHER,
    Piece,
    Window,
    groups,
    pieces,
    reflected,
    thickness,
    together,
)
from inpaint.refinement.stages import scales_of


def marked(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (300, 400)) -> np.ndarray:
    hole = np.zeros(size, dtype=bool)
    for box in boxes:
        hole[Box(*box).slices] = True
    return hole


def test_near_holes_are_one_and_far_ones_are_not():
    near = marked((40, 40, 60, 60), (60 + CELL // 2, 40, 90, 60))
    far = marked((40, 40, 60, 60), (60 + 3 * CELL, 40, 150, 60))
    assert [piece.box for piece in groups(near)] == [Box(40, 40, 90, 60)]
    assert [piece.box for piece in groups(far)] == [Box(40, 40, 60, 60), Box(108, 40, 150, 60)]


@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 250),
    width=st.integers(1, 250),
    density=st.sampled_from([0.001, 0.02, 0.5, 1.0]),
)
@settings(max_examples=60)
def test_pieces_hold_every_pixel_once(seed, height, width, density):
    hole = np.random.default_rng(seed).random((height, width)) < density
    count = np.zeros(hole.shape, dtype=int)
    for piece in together(pieces(hole)):
        count[piece.box.slices] += piece.own
        assert piece.own[0].any()
        assert piece.own[:, -1].any()
    assert np.array_equal(count, hole)


def test_large_holes_come_first_and_compact_ones_are_not_cut():
    found = pieces(marked((10, 10, 30, 30), (100, 100, 290, 290)))
    assert [piece.box for piece in found] == [Box(100, 100, 290, 290), Box(10, 10, 30, 30)]


@pytest.mark.parametrize(("side", "thin"), [(20, True), (28, True), (40, False)])
def test_thin_is_what_no_large_disc_fits_into(side, thin):
    (square,) = pieces(marked((50, 50, 50 + side, 50 + side)))
    (scratch,) = pieces(marked((50, 50, 160, 50 + side)))
    assert square.thin == scratch.thin == thin
    assert thickness(np.zeros((5, 5), dtype=bool)) == 0


@pytest.mark.parametrize(("thick", "thin"), [(60, True), (90, True), (110, False)])
def test_a_long_hole_is_thin_where_a_compact_one_of_its_thickness_is_not(thick, thin):
    hole = np.zeros((1000, 1000), dtype=bool)
    hole[100 : 100 + thick, 10:990] = True
    hole[500 : 500 + thick, 10 : 10 + thick] = True
    cut, (compact,) = pieces(hole)[:-1], pieces(hole)[-1:]
    assert len(cut) > 1
    assert {piece.thin for piece in cut} == {thin}
    assert not compact.thin


def test_the_corners_of_a_thick_hole_that_is_cut_are_not_thin():
    y, x = np.mgrid[:1600, :1600]
    found = pieces(abs(x - y) < 127)
    assert min(thickness(piece.own) for piece in found) < LONG_AND_THIN
    assert not any(piece.thin for piece in found)


def test_a_scratch_is_cut_into_short_pieces():
    hole = np.eye(2000, dtype=bool)
    found = pieces(hole | np.roll(hole, 1, 1))
    assert len(found) > 10
    assert max(max(piece.box.size) for piece in found) <= TOGETHER


@given(top=st.integers(0, 3000), left=st.integers(0, 3000), height=st.integers(1, 1500), width=st.integers(1, 1500))
@settings(max_examples=200)
def test_a_window_has_its_hole_in_the_middle_half(top, left, height, width):
    box = Box(left, top, left + width, top + height)
    window = Window.around(Piece(box, np.ones(box.size, dtype=bool)))
    at = box.within(window.box)
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
    assert Window(2, -1, 4).cut(picture).tolist() == [[6, 7, 6, 5], [2, 3, 2, 1], [6, 7, 6, 5], [10, 11, 10, 9]]
    assert Window(2, -1, 4).inside((3, 4), least=2) == Box(0, 1, 2, 4)
    assert Window(2, -1, 4).inside((3, 4), least=3) == Box(0, 0, 4, 4)


def test_what_is_fine_in_a_square_is_one_piece():
    specks = [(x, y, x + 5, y + 7) for x in (10, 60, 150, 300) for y in (10, 100)]
    hole = marked(*specks, (0, 250, 400, 253))
    found = together(pieces(hole))
    assert len(found) == 5  # two squares of specks, three of the line
    count = np.zeros(hole.shape, dtype=int)
    for piece in found:
        count[piece.box.slices] += piece.own
    assert np.array_equal(count, hole)
    assert all(piece.thin and piece.kind == "fine" for piece in found)
    assert Window.around(found[0]).side < Window.around(found[0]._replace(kind="hole")).side
    (thick,) = pieces(marked((50, 50, 50 + 2 * FINE, 50 + 2 * FINE)))
    assert thick.kind == "hole"


def test_a_scratch_across_a_large_photo_is_fine():
    hole = np.zeros((100, 6000), dtype=bool)
    hole[50:53] = True
    assert {piece.kind for piece in pieces(hole)} == {"fine"}
