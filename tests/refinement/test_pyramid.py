from pathlib import Path

import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint.errors import UserError
from inpaint.images import read_picture, resize
from inpaint.refinement.features import load_vgg
from inpaint.refinement.pyramid import Scale, Settings, refine, refine_scale, surroundings

QUICK = Settings(scales=2, rounds=2, iterations=3)
GRAVEL = Path(skimage.__file__).parent / "data" / "gravel.png"


def gravel(height=128, width=128, top=0) -> torch.Tensor:
    """A real texture, finer than any hole here."""
    return resize(read_picture(GRAVEL)[None, :, top : top + 360, :360], (height, width))


def hole(height=128, width=128, top=52, left=52, side=24) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., top : top + side, left : left + side] = 1
    return mask


def flat_prediction(picture, mask):
    mean = (picture * (1 - mask)).sum((2, 3), keepdim=True) / (1 - mask).sum()
    return mean.expand_as(picture)


def test_texture_is_rebuilt(vgg):
    """A grey hole in gravel becomes gravel: as sharp as the rest."""
    picture, mask = gravel(), hole()
    grey = flat_prediction(picture, mask)
    filled, reports = refine(picture, mask, grey, vgg, Settings(scales=1, rounds=3, iterations=10))
    edges, truth = ((x[..., 1:] - x[..., :-1]).abs()[..., 54:74, 54:74].mean() for x in (filled, picture))
    assert 0.75 * truth < edges < 1.25 * truth
    assert reports[0].after.texture < 0.5 * reports[0].before.texture


def test_outside_stays_bit_by_bit_and_energy_falls(vgg):
    picture, mask = gravel(), hole()
    picture[..., 52:76, 52:76] = 7.0  # what stands in the hole does not matter, not even out of range
    seen = []
    filled, reports = refine(
        picture, mask, flat_prediction(picture, mask), vgg, QUICK, lambda *at: seen.append((at[0], at[2].shape))
    )
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
    assert 0 <= filled[..., 52:76, 52:76].min() <= filled[..., 52:76, 52:76].max() <= 1
    assert [report.size for report in reports] == [(64, 64), (128, 128)]
    assert seen == [(0, (1, 3, 64, 64)), (1, (1, 3, 128, 128))]
    for report in reports:
        assert report.after.total(QUICK) < report.before.total(QUICK)
        assert report.iterations == 6
        assert report.seconds > 0


def test_hole_content_does_not_matter(vgg):
    picture, mask = gravel(), hole()
    other = picture * (1 - mask) + torch.rand_like(picture) * mask
    grey = flat_prediction(picture, mask)
    assert torch.equal(refine(picture, mask, grey, vgg, QUICK)[0], refine(other, mask, grey, vgg, QUICK)[0])


def test_same_input_same_pixels(vgg):
    picture, mask = gravel(), hole()
    first, second = (refine(picture, mask, flat_prediction(picture, mask), vgg, QUICK)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_batch_is_each_picture_alone(vgg):
    """Different pictures, different holes: the same result alone and together, also where a batch is one tensor."""
    pictures = torch.cat([gravel(), gravel(top=150)])
    masks = torch.cat([hole(top=40, left=44, side=20), hole(top=60, left=50, side=28)])
    predictions = torch.cat([flat_prediction(pictures[i : i + 1], masks[i : i + 1]) for i in range(2)])
    together, reports = refine(pictures, masks, predictions, vgg, QUICK)
    one_scale = Settings(scales=1, rounds=2, iterations=3)
    as_one, _ = refine_scale(Scale(vgg, pictures, masks, predictions, one_scale), one_scale)
    for i in range(2):
        own = pictures[i : i + 1], masks[i : i + 1], predictions[i : i + 1]
        alone, own_reports = refine(*own, vgg, QUICK)
        assert torch.equal(together[i : i + 1], alone)
        assert [float(r.after.texture[i]) for r in reports] == [float(r.after.texture) for r in own_reports]
        alone, _ = refine_scale(Scale(vgg, *own, one_scale), one_scale)
        torch.testing.assert_close(as_one[i : i + 1], alone.clamp(0, 1), atol=1e-4, rtol=0)


def test_bfloat16_is_close_to_float32(vgg):
    """The final energy, measured in float32, within 1 %; the pictures 35 dB or closer."""
    picture, mask = gravel(), hole()
    grey = flat_prediction(picture, mask)
    one_scale = Settings(scales=1, rounds=3, iterations=20)
    pictures, totals = [], []
    for network in (vgg, load_vgg().on("cpu", "bfloat16")):
        filled, _ = refine_scale(Scale(network, picture, mask, grey, one_scale), one_scale)
        scale = Scale(vgg, picture, mask, grey, one_scale)
        scale.match(scale.hole.of(filled))
        totals.append(float(scale.energies(scale.hole.of(filled)).total(one_scale)))
        pictures.append(filled)
    assert abs(totals[1] / totals[0] - 1) < 0.01
    assert (pictures[0] - pictures[1]).pow(2).mean() < 10 ** (-35 / 10)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (200, 150), (290, 316)])
def test_a_large_picture_costs_no_more_than_the_holes_surroundings(vgg, top, left):
    """What lies further away is not looked at: the same result as on the surroundings alone, wherever they are."""
    picture, mask = gravel(320, 340), hole(320, 340, top, left, 24)
    quick = Settings(scales=1, rounds=1, iterations=2)
    box = surroundings(mask, 1)
    assert box.size == (128, 128)
    assert box.of(mask).sum() == mask.sum()
    grey = torch.full_like(picture, 0.5)
    whole, _ = refine(picture, mask, grey, vgg, quick)
    part, _ = refine(*(box.of(x) for x in (picture, mask, grey)), vgg, quick)
    assert torch.equal(box.of(whole), part)
    assert torch.equal(whole * (1 - mask), picture * (1 - mask))


def test_surroundings_of_the_standard_holes_are_the_whole_picture():
    for side in (224, 256):
        start = (512 - side) // 2
        assert surroundings(hole(512, 512, start, start, side), 3) == (0, 0, 512, 512)
    assert surroundings(hole(2048, 4096, 900, 1700, 256), 3).size == (608, 608)


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(48, 75),
    width=st.integers(48, 75),
    top=st.integers(0, 60),
    left=st.integers(0, 60),
    tall=st.integers(1, 14),
    wide=st.integers(1, 14),
)
def test_any_hole_anywhere(vgg, height, width, top, left, tall, wide):
    """Sizes that no stride divides, holes at the border and of one pixel: finite inside, untouched outside."""
    picture = gravel(height, width)
    mask = torch.zeros(1, 1, height, width)
    top, left = min(top, height - 1), min(left, width - 1)
    mask[..., top : top + tall, left : left + wide] = 1
    filled, _ = refine(picture, mask, flat_prediction(picture, mask), vgg, Settings(scales=1, rounds=1, iterations=2))
    assert filled.isfinite().all()
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))


def test_content_on_features(vgg):
    """The authors' code compares relu4_2 features: at the start that term is 0, later it holds the picture back."""
    picture, mask = gravel(), hole()
    preset = Settings(scales=1, rounds=1, iterations=4, layers=("relu4_1",), content_layer="relu4_2")
    _, reports = refine(picture, mask, flat_prediction(picture, mask), vgg, preset)
    assert float(reports[0].before.content) < 1e-6
    assert float(reports[0].after.content) > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha": -1.0}, "alpha is -1.0, but has to be at least 0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"scales": 0}, "scales is 0, but has to be at least 1"),
        ({"rounds": 0}, "rounds is 0"),
        ({"iterations": 0}, "iterations is 0"),
        ({"rule": "cosine"}, "no matching rule 'cosine': choose ncc or l2"),
        ({"layers": ()}, "layers is empty"),
    ],
)
def test_settings_out_of_range(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        Settings(**changes)


def test_input_that_cannot_be_refined(vgg):
    picture, mask = gravel(), hole()
    with pytest.raises(UserError, match=r"128 x 128 pixels is too small for 4 scales: .* 16 pixels, and 32 are needed"):
        refine(picture, mask, picture, vgg, Settings(scales=4))
    with pytest.raises(UserError, match="mask is empty"):
        refine(picture, torch.zeros_like(mask), picture, vgg, QUICK)
    with pytest.raises(UserError, match="no patch to learn from"):
        refine(picture, hole(top=4, left=4, side=120), picture, vgg, QUICK)
    broken = picture.clone()
    broken[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="picture holds values that are not finite"):
        refine(broken, mask, picture, vgg, QUICK)
    with pytest.raises(UserError, match="no layer 'relu7_1'"):
        refine(picture, mask, picture, vgg, Settings(scales=1, layers=("relu7_1",)))
