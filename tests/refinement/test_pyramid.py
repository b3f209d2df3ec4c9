from pathlib import Path

import pytest
import skimage
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kornia.filters import gaussian_blur2d

from inpaint.errors import UserError
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_picture
from inpaint.refinement import scale as scale_module
from inpaint.refinement.matching import nearby
from inpaint.refinement.pyramid import blurred, refine
from inpaint.refinement.scale import Scale, refine_scale
from inpaint.refinement.settings import preset
from inpaint.vgg import load_vgg

QUICK = preset(scales=2, rounds=2, iterations=3)
GRAVEL = Path(skimage.__file__).parent / "data" / "gravel.png"


def gravel(height=128, width=128, top=0) -> torch.Tensor:
    """A real texture, finer than any hole here."""
    return resize(read_picture(GRAVEL)[:, top : top + 360, :360], (height, width))


def hole(height=128, width=128, top=52, left=52, side=24) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[..., top : top + side, left : left + side] = 1
    return mask


def flat_prediction(picture, mask):
    mean = (picture * (1 - mask)).sum((1, 2), keepdim=True) / (1 - mask).sum()
    return mean.expand_as(picture)


def test_texture_is_rebuilt(vgg):
    """A grey hole in gravel becomes gravel: as sharp as the rest."""
    picture, mask = gravel(), hole()
    grey = flat_prediction(picture, mask)
    filled, reports = refine(picture, mask, grey, vgg, preset(scales=1, rounds=3, iterations=10))
    edges, truth = ((x[..., 1:] - x[..., :-1]).abs()[..., 54:74, 54:74].mean() for x in (filled, picture))
    assert 0.75 * truth < edges < 1.25 * truth
    assert reports[0].after.texture < 0.8 * reports[0].before.texture  # voting left less to do


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
    assert seen == [(0, (3, 64, 64)), (1, (3, 128, 128))]
    for report in reports:
        assert report.after.total(QUICK) < report.before.total(QUICK)
        assert report.iterations == 6
        assert report.seconds > 0


def test_progress_is_told_step_by_step(vgg):
    """Each scale twice as long as the one before; finding matches as long as two evaluations of the energy."""
    picture, mask = gravel(), hole()
    grey, done = flat_prediction(picture, mask), []
    settings = preset(scales=2, rounds=2, iterations=1, voting_scales=0)
    refine(picture, mask, grey, vgg, settings, on_progress=done.append)
    of_a_scale = [2 / 8, 3 / 8, 4 / 8, 6 / 8, 7 / 8, 1]
    assert done == pytest.approx([part / 3 for part in of_a_scale] + [1 / 3 + 2 * part / 3 for part in of_a_scale])


def test_matches_keep_to_their_colour(vgg):
    """The same texture in two colours, a hole between them: each half of it is matched to its own."""
    texture, mask = gravel(), hole()
    tints = torch.ones(3, 1, 128)
    tints[0, :, :64], tints[2, :, 64:] = 0.7, 0.7
    picture = texture * tints
    start = flat_prediction(texture, mask) * tints
    shares = []
    for colour in (0.0, 1.0):
        scale = Scale(vgg, picture, mask, start, preset(colour=colour))
        scale.match(scale.pixels)
        matches = scale.matches["relu3_1"]
        query = (matches >= 0).nonzero()
        own = (query[:, 1] < 16) == (matches[matches >= 0] % 32 < 16)
        shares.append(float(own.float().mean()))
    assert shares[0] < 0.95 < shares[1]


def test_guided_matching_ends_about_as_low_as_full_matching(vgg, monkeypatch):
    """On a photograph, where the finest layer of the last scale is matched near the matches of the scale before."""
    photo = read_picture(GRAVEL.with_name("coffee.png"))[:, :384, :384]
    picture, mask = resize(photo, (192, 192)), hole(192, 192, top=70, left=70, side=48)
    two_scales = preset(scales=2, rounds=2, iterations=5)
    ends, guided = [], []
    monkeypatch.setattr(scale_module, "nearby", lambda *given: guided.append(given) or nearby(*given))
    for few in (2**17, 2**40):
        monkeypatch.setattr(scale_module, "FEW_PAIRS", few)
        _, reports = refine(picture, mask, flat_prediction(picture, mask), vgg, two_scales)
        ends.append(float(reports[-1].after.total(two_scales)))
    assert len(guided) == two_scales.rounds
    assert ends[0] < 1.05 * ends[1]


def test_a_grid_in_the_prediction_is_smoothed_away(vgg):
    """Without texture and TV the first scale stays at its start: checks of one pixel vanish, a slope stays."""
    slope, mask = torch.linspace(0.4, 0.6, 128).expand(3, 128, 128), hole()
    grid = slope + (torch.arange(128)[:, None] + torch.arange(128)) % 2 * 0.2 - 0.1
    for smooth, expected in ((0.0, grid), (2.0, slope)):
        only_content = preset(alpha=0, beta=0, smooth=smooth, scales=1, rounds=1, iterations=1, voting_scales=0)
        filled, _ = refine(slope, mask, grid, vgg, only_content)
        torch.testing.assert_close(filled[..., 60:68, 60:68], expected[..., 60:68, 60:68], atol=1e-2, rtol=0)


def test_without_the_content_term_nothing_holds_on_to_the_prediction(vgg):
    """A grid in the prediction, which TV alone flattens, stays where the content term has its weight."""
    slope, mask = torch.linspace(0.4, 0.6, 128).expand(3, 128, 128), hole()
    grid = slope + (torch.arange(128)[:, None] + torch.arange(128)) % 2 * 0.2 - 0.1
    for weight, expected in ((1.0, grid), (0.0, slope)):
        chosen = preset(alpha=0, content_weight=weight, smooth=0, scales=1, rounds=1, iterations=30, voting_scales=0)
        filled, _ = refine(slope, mask, grid, vgg, chosen)
        torch.testing.assert_close(filled[..., 60:68, 60:68], expected[..., 60:68, 60:68], atol=2e-2, rtol=0)


def test_hole_content_does_not_matter(vgg):
    picture, mask = gravel(), hole()
    other = picture * (1 - mask) + torch.rand_like(picture) * mask
    grey = flat_prediction(picture, mask)
    assert torch.equal(refine(picture, mask, grey, vgg, QUICK)[0], refine(other, mask, grey, vgg, QUICK)[0])


def test_same_input_same_pixels(vgg):
    picture, mask = gravel(), hole()
    first, second = (refine(picture, mask, flat_prediction(picture, mask), vgg, QUICK)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_bfloat16_is_close_to_float32(vgg):
    """The final energy, measured in float32, within 1 %; the pictures 35 dB or closer."""
    picture, mask = gravel(), hole()
    grey = flat_prediction(picture, mask)
    one_scale = preset(scales=1, rounds=2, iterations=5)
    pictures, totals = [], []
    for network in (vgg, load_vgg().on("cpu", "bfloat16")):
        filled, _ = refine_scale(Scale(network, picture, mask, grey, one_scale))
        scale = Scale(vgg, picture, mask, grey, one_scale)
        scale.match(scale.hole.of(filled))
        totals.append(float(scale.energies(scale.hole.of(filled)).total(one_scale)))
        pictures.append(filled)
    assert abs(totals[1] / totals[0] - 1) < 0.01
    assert (pictures[0] - pictures[1]).pow(2).mean() < 10 ** (-35 / 10)


@settings(max_examples=20)
@given(
    height=st.integers(48, 75),
    width=st.integers(48, 75),
    top=st.integers(0, 60),
    left=st.integers(0, 60),
    tall=st.integers(1, 14),
    wide=st.integers(1, 14),
    density=st.sampled_from([0.2, 1.0]),
    scales=st.sampled_from([1, 2]),
    gradient_scales=st.sampled_from([0, 1]),
)
@example(
    height=48, width=48, top=32, left=32, tall=1, wide=1, density=1.0, scales=2, gradient_scales=1
)  # the middle of five by five cells
def test_any_hole_anywhere(vgg, height, width, top, left, tall, wide, density, scales, gradient_scales):
    """Sizes that no stride divides, ragged holes, at the border, of one pixel: finite inside, untouched outside.

    Or a sentence, where the coarsest scale has no three by three cells of relu4_1 beside the hole.
    """
    height, width = height + 32 * (scales - 1), width + 32 * (scales - 1)
    picture = gravel(height, width)
    mask = torch.zeros(1, height, width)
    top, left = min(top, height - 1), min(left, width - 1)
    inside = mask[..., top : top + tall, left : left + wide]
    inside[torch.rand(inside.shape, generator=torch.Generator().manual_seed(tall)) < density] = 1
    mask[..., top, left] = 1
    chosen = preset(scales=scales, gradient_scales=gradient_scales, iterations=2)
    cells = F.max_pool2d(F.adaptive_max_pool2d(mask, (height // scales, width // scales)), 8)
    if cells[:, 1:-1, 1:-1].any() and F.max_pool2d(cells, 3, 1).all():
        with pytest.raises(UserError, match="no patch to learn from"):
            refine(picture, mask, flat_prediction(picture, mask), vgg, chosen)
        return
    filled, _ = refine(picture, mask, flat_prediction(picture, mask), vgg, chosen)
    assert filled.isfinite().all()
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
    assert not torch.equal(filled, picture)


def test_content_on_features(vgg):
    """The authors' code compares relu4_2 features: at the start that term is 0, later it holds the picture back."""
    picture, mask = gravel(), hole()
    chosen = preset(scales=1, rounds=1, iterations=4, layers=("relu4_1",), content_layer="relu4_2")
    _, reports = refine(picture, mask, flat_prediction(picture, mask), vgg, chosen)
    assert float(reports[0].before.content) < 1e-6
    assert float(reports[0].after.content) > 0


def test_input_that_cannot_be_refined(vgg):
    picture, mask = gravel(), hole()
    with pytest.raises(UserError, match=r"128 x 128 pixels is too small for 4 scales: .* 16 pixels, and 32 are needed"):
        refine(picture, mask, picture, vgg, preset(scales=4))
    with pytest.raises(UserError, match="mask is empty"):
        refine(picture, torch.zeros_like(mask), picture, vgg, QUICK)
    with pytest.raises(UserError, match="no patch to learn from"):
        refine(picture, hole(top=4, left=4, side=120), picture, vgg, QUICK)
    broken = picture.clone()
    broken[0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="picture holds values that are not finite"):
        refine(broken, mask, picture, vgg, QUICK)
    with pytest.raises(UserError, match="prediction holds values that are not finite"):
        refine(picture, mask, broken, vgg, QUICK)
    with pytest.raises(UserError, match="no layer 'relu7_1'"):
        refine(picture, mask, picture, vgg, preset(scales=1, layers=("relu7_1",)))


@pytest.mark.parametrize(("sigma", "reach"), [(0.3, 1), (2.0, 6), (7.7, 24)])
def test_the_blur_is_a_gaussian_whose_border_goes_on(sigma, reach):
    picture = torch.rand(3, 40, 28, generator=torch.Generator().manual_seed(0))
    expected = gaussian_blur2d(picture[None], 2 * reach + 1, (sigma, sigma), "replicate")[0]
    torch.testing.assert_close(blurred(picture, sigma), expected, atol=5e-7, rtol=0)
