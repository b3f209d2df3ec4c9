import numpy as np
import pytest
from scipy import ndimage

from inpaint.photo.enlarge import enlarge
from tests.photo.test_windows import marked


def test_soft_weights_are_a_disc_with_a_rim():
    point = marked((50, 50, 51, 51), size=(101, 101))
    weights = enlarge(point, dilate=8, feather=3).weights
    y, x = np.mgrid[-50:51, -50:51]
    distance = np.hypot(y, x)
    assert (weights[distance <= 8] == 255).all()
    assert (weights[distance >= 11] == 0).all()
    rim = weights[(distance > 8) & (distance < 11)]
    assert ((rim > 0) & (rim < 255)).all()
    assert np.array_equal(enlarge(point, 0, 0).weights > 0, point)
    assert np.array_equal(enlarge(marked((0, 0, 1, 1), size=(20, 20)), 3, 0).weights[0] > 0, np.arange(20) <= 3)


@pytest.mark.parametrize(("thick", "dilate", "feather"), [(2, 1, 1), (10, 2, 1), (20, 4, 2), (40, 8, 4), (200, 8, 4)])
def test_a_mask_is_enlarged_by_a_quarter_of_its_thickness(thick, dilate, feather):
    """A line, a stroke, an object: at most 8 pixels, and beyond the pixels over which it fades nothing."""
    hole = marked((100, 0, 100 + thick, 600), size=(600, 700))
    found = enlarge(hole)
    assert found.dilate == (dilate, dilate)
    assert found.feather == (feather, feather)
    row = found.weights[300]
    assert (row[100 - dilate : 100 + thick + dilate] == 255).all()
    assert (row[: 100 - dilate - feather + 1] == 0).all()
    assert found.share == pytest.approx((found.weights > 0).mean())
    assert found.marked == hole.mean()


@pytest.mark.parametrize("given", [(None, None), (20, None), (None, 5), (130, None)])
def test_each_place_takes_all_steps_whose_discs_fit(given):
    """As by the definition, which looks at the whole mask at every step."""
    rng = np.random.default_rng(0)
    hole = ndimage.gaussian_filter(rng.normal(size=(520, 530)), 9) > 0.01
    hole |= marked((300, 100, 500, 180), (340, 180, 343, 400), size=hole.shape)
    expected = np.zeros(hole.shape)
    for step in (1, 2, 4, 8):
        depth = ndimage.distance_transform_edt(np.pad(hole, 1))[1:-1, 1:-1]
        thick = hole if step == 1 else ndimage.distance_transform_edt(depth < 2 * step) < 2 * step
        dilate = step if given[0] is None else given[0]
        feather = max(1, step // 2) if given[1] is None else given[1]
        expected = np.maximum(expected, (1 - (ndimage.distance_transform_edt(~thick) - dilate) / feather).clip(0, 1))
    assert np.array_equal(enlarge(hole, *given).weights, np.ceil(255 * expected))


def test_a_scratch_beside_an_object_stays_thin():
    """The thickness is that of each place, also within one hole; and it is said of the least and of the most."""
    hole = marked((100, 100, 200, 200), (200, 149, 500, 151), (600, 600, 602, 690), size=(700, 700))
    found = enlarge(hole)
    assert found.dilate == (1, 8)
    assert (found.weights[150, 92:100] == 255).all()
    assert found.weights[145, 400] == found.weights[155, 400] == 0
    assert found.weights[640, 597] == 0


def test_a_small_photo_keeps_its_surroundings():
    """8 pixels are much of 128: at most a 64th of the shorter side; what a person gives is taken as given."""
    hole = marked((40, 40, 100, 100), size=(128, 400))
    assert enlarge(hole).dilate == (2, 2)
    assert enlarge(hole, dilate=9).dilate == (9, 9)
    assert enlarge(hole, dilate=9).feather == (1, 1)
    assert enlarge(hole, feather=7).feather == (7, 7)
    assert (enlarge(hole, 9, 7).weights > 0).sum() > (enlarge(hole).weights > 0).sum()


def test_who_marks_much_is_told():
    wide = enlarge(marked((0, 0, 70, 100), size=(100, 100)))
    (remark,) = wide.remarks()
    assert "marks 70% of the photo: if it was meant the other way round, use --invert" in remark
    striped = np.zeros((100, 100), dtype=bool)
    striped[::4] = True
    (remark,) = enlarge(striped).remarks()
    assert "the enlarged mask takes 74% of the photo, of which 25% was marked" in remark
    assert enlarge(marked((0, 0, 20, 20), size=(100, 100))).remarks() == []
    assert set(enlarge(striped).to_json()) == {"dilate", "feather", "marked", "share"}


def test_nothing_marked_stays_nothing():
    found = enlarge(marked())
    assert found.share == found.marked == 0
