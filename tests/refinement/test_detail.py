import pytest
import torch

from inpaint.imaging.pixels import composite, resize
from inpaint.refinement.detail import REACH, Level, detailed
from inpaint.refinement.matching import geometry
from inpaint.refinement.pyramid import refine
from inpaint.refinement.settings import preset
from inpaint.refinement.voting import LIGHT
from tests.refinement.test_voting import boards, centre

STRIDE = 4


def case(period, side=48):
    """A picture that repeats itself, its half-size copy as the scale before, and the queries there."""
    picture, mask = boards(256, 2 * period), centre(256, side)
    half, hole = resize(picture, (128, 128)), centre(128, side // 2)
    query = geometry(hole, STRIDE).queries
    return picture, mask, Level(half, hole, half), query


def moved_by(query, move):
    cells = torch.arange(query.numel()).view(query.shape)
    return torch.where(query, cells + move, -1)


@pytest.mark.parametrize("whole", [True, False])
def test_detail_is_that_of_the_matches(whole):
    """A perfect fill at half the size, matched to where the pattern repeats, becomes the truth at full size."""
    picture, mask, before, query = case(period=16)
    filled, moved = detailed(picture * (1 - mask), mask, before, moved_by(query, -8), STRIDE, whole)
    enlarged = composite(picture, resize(before.filled, (256, 256)), mask)
    assert (enlarged - picture).abs().max() > 0.2
    torch.testing.assert_close(filled, picture, atol=1e-4, rtol=0)
    assert torch.equal(moved, moved_by(query, -8))


@pytest.mark.parametrize("off", range(-REACH, REACH + 1))
def test_a_match_moves_by_pixels_to_where_it_fits(off):
    """The pattern repeats every 16 + off pixels, and matches lie on a grid of 4."""
    picture, mask, before, query = case(period=16 + off, side=32)
    filled, moved = detailed(picture, mask, before, moved_by(query, -8), STRIDE, whole=True)
    if 2 * off in range(-REACH, REACH + 1):  # two periods away
        torch.testing.assert_close(filled, picture, atol=1e-4, rtol=0)
        assert torch.equal(moved, moved_by(query, {-1: -7, 0: -8, 1: -8}[off]))  # 30, 32, 34 pixels, in cells of 4
    else:
        assert (filled - picture).abs().max() > 0.1


@pytest.mark.parametrize(
    ("whole", "change", "seen"),
    [
        (False, (0.04, -0.02, 0.01), (0.04, -0.02, 0.01)),  # added, it keeps the colours of the scale before
        (True, (0.02, -0.02, 0.0), (0.0, 0.0, 0.0)),  # laid whole, patches keep their own,
        (True, (0.02, 0.02, 0.02), (0.02, 0.02, 0.02)),  # but are as light as what was there,
        (True, (0.09, 0.09, 0.09), (LIGHT, LIGHT, LIGHT)),  # within bounds
    ],
)
def test_the_colours_and_the_light_of_the_scale_before(whole, change, seen):
    picture, mask, before, query = case(period=16)
    tinted = Level(before.known, before.mask, before.filled + torch.tensor(change)[:, None, None])
    filled, _ = detailed(picture, mask, tinted, moved_by(query, -8), STRIDE, whole)
    measured = (filled - picture)[:, 112:144, 112:144].mean((1, 2))  # away from the border
    torch.testing.assert_close(measured, torch.tensor(seen), atol=2e-3, rtol=0)


def test_without_a_match_the_fill_is_enlarged():
    picture, mask, before, query = case(period=16)
    filled, moved = detailed(picture, mask, before, torch.full_like(query, -1, dtype=torch.long), STRIDE, whole=True)
    torch.testing.assert_close(filled, composite(picture, resize(before.filled, (256, 256)).clamp(0, 1), mask))
    assert (moved == -1).all()


def test_a_match_that_touches_the_hole_is_kept_but_not_laid():
    """Later scales still look there; enlarging blends the pixels beside the hole with those in it."""
    picture, mask, before, query = case(period=16)
    alone = torch.full_like(query, -1, dtype=torch.long)
    alone[16, 16] = 16 * 32 + 11  # its patch ends where the hole begins
    filled, moved = detailed(picture, mask, before, alone, STRIDE, whole=True)
    assert torch.equal(moved, alone)
    torch.testing.assert_close(filled, composite(picture, resize(before.filled, (256, 256)).clamp(0, 1), mask))


def test_no_patch_is_taken_that_touches_the_hole():
    """What stands in the hole is not looked at, whatever the matches say."""
    picture, mask, before, query = case(period=16)
    spoilt = composite(picture, torch.ones_like(picture), mask)
    marked = composite(before.known, torch.ones_like(before.known), before.mask)
    for move in (-1, -4, -8):
        filled, _ = detailed(spoilt, mask, before._replace(known=marked), moved_by(query, move), STRIDE, whole=True)
        assert (filled * mask)[:, 100:156, 100:156].max() < 0.95


def test_scales_that_only_enlarge_pass_their_matches_on(vgg):
    """Three scales, of which one is voted: the second and the third follow from the first."""
    picture, mask = boards(512, 64), centre(512, 64)
    chosen = preset("instant", scales=3, voting_scales=1)
    filled, reports = refine(picture * (1 - mask), mask, resize(picture, (128, 128)), vgg, chosen)
    hole = mask.expand_as(picture) > 0
    plain, _ = refine(
        picture * (1 - mask),
        mask,
        resize(picture, (128, 128)),
        vgg,
        preset("instant", scales=3, voting_scales=1, detail=False),
    )
    assert (filled - picture)[hole].pow(2).mean() < 0.5 * (plain - picture)[hole].pow(2).mean()
    assert [report.before for report in reports] == [None] * 3


def test_without_any_matching_the_prediction_is_enlarged(vgg):
    picture, mask = boards(512, 64), centre(512, 64)
    prediction, chosen = resize(picture, (128, 128)), preset("instant", scales=3, voting_scales=0, smooth=0)
    filled, _ = refine(picture, mask, prediction, vgg, chosen)
    away = (..., slice(240, 272), slice(240, 272))  # from the border, which is made seamless
    torch.testing.assert_close(filled[away], resize(prediction, (512, 512))[away], atol=0.05, rtol=0)


def test_a_scale_without_a_gradient_adds_detail_to_the_one_before(vgg):
    """Its colours are those that the gradient left, and the known pixels give it what the enlarged fill lacks."""
    picture, mask = boards(256, 32), centre(256, 64)
    chosen = preset(scales=2, gradient_scales=1, iterations=2)
    results = []
    _, reports = refine(
        picture * (1 - mask),
        mask,
        resize(picture, (128, 128)),
        vgg,
        chosen,
        on_scale=lambda number, report, result: results.append(result),
    )
    assert [report.iterations for report in reports] == [2, 0]
    assert reports[1].before is None
    half, whole = results
    inner = (..., slice(104, 152), slice(104, 152))
    enlarged = resize(composite(resize(picture, (128, 128)), half, centre(128, 32)), (256, 256))
    assert (whole - picture)[inner].pow(2).mean() < 0.5 * (enlarged - picture)[inner].pow(2).mean()
    torch.testing.assert_close(whole[inner].mean((1, 2)), enlarged[inner].mean((1, 2)), atol=0.01, rtol=0)


def test_a_hole_at_the_pictures_border_gets_detail_at_several_scales(vgg):
    """Cells at the border are the middle of no patch, though they inherit a match from one scale to the next."""
    picture, mask = torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 512, 512)
    mask[..., :128, 128:384] = 1
    settings = preset("instant", scales=4, voting_scales=1, detail=True)
    filled, reports = refine(picture, mask, torch.full_like(picture, 0.5), vgg, settings)
    assert [report.size[0] for report in reports] == [64, 128, 256, 512]
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
