import pytest
import torch
from kornia.color import rgb_to_lab

from inpaint.imaging.box import Box
from inpaint.imaging.pixels import composite
from inpaint.refinement.matching import AROUND, geometry, make_bank, nearby, nearest, suggested
from inpaint.refinement.pyramid import blurred, refine
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset
from inpaint.refinement.voting import ALONE, COLOUR, HEIGHT, LIGHT, Costs, lay, vote

VOTED = preset("instant", scales=1, smooth=0, blend_border=False)


def centre(size=128, side=32):
    mask = torch.zeros(1, size, size)
    start = (size - side) // 2
    mask[:, start : start + side, start : start + side] = 1
    return mask


def boards(size=128, period=16):
    """Boards with dark gaps and the same knots in each: what stands in a hole follows from the rest."""
    y, x = torch.meshgrid(torch.arange(size) % period, torch.arange(size) % period, indexing="ij")
    one = torch.rand(3, period, period, generator=torch.Generator().manual_seed(0))
    picture = 0.3 + 0.5 * one[:, y, x]
    picture[:, (y < 2).nonzero(as_tuple=True)[0], (y < 2).nonzero(as_tuple=True)[1]] = 0.1
    return picture


def test_matches_of_one_move_copy_their_pixels():
    picture, mask = boards(), centre()
    found = geometry(mask, 4)
    query = found.queries.flatten().nonzero().flatten()
    move = -9  # cells to the left, 36 pixels
    laid = lay(
        composite(picture, torch.zeros_like(picture), mask), mask, query, query + move, 4, torch.zeros(len(query), 1)
    )
    torch.testing.assert_close(laid[:, 48:80, 48:80], picture[:, 48:80, 12:44], atol=1e-6, rtol=0)
    assert torch.equal(laid * (1 - mask), picture * (1 - mask))


def test_a_blurred_prediction_becomes_what_stands_around_it(vgg):
    picture, mask = boards(), centre()
    prediction, hole = blurred(picture, 2.0), mask.expand_as(picture) > 0
    filled, reports = refine(picture, mask, prediction, vgg, VOTED)
    assert (prediction - picture)[hole].abs().mean() > 0.1
    torch.testing.assert_close(filled[hole], picture[hole], atol=LIGHT, rtol=0)
    assert (filled - picture)[hole].abs().mean() < 0.02
    assert (reports[0].before, reports[0].after) == (None, None)


@pytest.mark.parametrize("box", [(0, 40, 3, 72), (40, 127, 72, 130), (40, 120, 72, 130)])
def test_at_the_pictures_border_nothing_is_left_empty(vgg, box):
    """Cells of the border are the middle of no patch, and the last rows and columns are no whole cell."""
    left, top, right, bottom = box
    mask = torch.zeros(1, 130, 130)
    mask[:, top:bottom, left:right] = 1
    picture = boards(130).clamp(min=0.3)
    filled, _ = refine(picture * (1 - mask), mask, picture, vgg, preset("instant", scales=1))
    assert filled.min() > 0.2


def test_each_cost_has_the_value_that_it_should(vgg):
    """One query at the hole's border; a candidate ten rows higher, a colour off by 0.1."""
    picture, mask = torch.full((3, 128, 128), 0.5), centre()
    scale = Scale(vgg, picture, mask, picture, VOTED)
    query = scale.geometry["relu3_1"].queries.flatten().nonzero().flatten()[:1]
    tried = torch.stack([query - 10 * 32, query - 10])[None, :, 0]
    one = torch.ones(32 * 32)
    cost = Costs(scale, picture, 1)(one, None, query, tried)
    torch.testing.assert_close(cost, torch.tensor([[HEIGHT * 10 / 32, 0.0]]))
    cost = Costs(scale, picture + 0.1, 1)(2 * one, None, query, tried)
    torch.testing.assert_close(cost[0, 1], torch.tensor(2 * COLOUR * 0.01))
    matches = torch.full((32, 32), -1)
    matches.view(-1)[query + 1] = tried[0, 1] + 1
    cost = Costs(scale, picture, 1)(one, matches, query, tried)
    torch.testing.assert_close(cost, torch.tensor([[HEIGHT * 10 / 32 + ALONE, ALONE * 7 / 8]]))


def test_costs_are_the_same_asked_for_all_alike_or_each_on_its_own(vgg):
    picture, mask = boards(), centre()
    scale = Scale(vgg, picture, mask, picture, VOTED)
    query = scale.geometry["relu3_1"].queries.flatten().nonzero().flatten()
    tried = (~scale.geometry["relu3_1"].queries).flatten().nonzero().flatten()[None, 40:90]
    matches = torch.where(scale.geometry["relu3_1"].queries, tried[0, 7], -1)
    cost, lengths = Costs(scale, picture.flip(2), 1), torch.rand(32 * 32)
    alike, each = (cost(lengths, matches, query, t) for t in (tried, tried.repeat(len(query), 1)))
    torch.testing.assert_close(alike, each, atol=1e-5, rtol=1e-4)
    assert alike.std() > 0


def test_the_prediction_is_less_sure_far_from_what_is_known_and_a_border_knows_nothing(vgg):
    """A hole over the left half, to the picture's border: the cost of colour falls all the way there."""
    mask = torch.zeros(1, 128, 128)
    mask[:, 32:96, :64] = 1
    colour = Costs(Scale(vgg, boards(), mask, boards(), VOTED), boards(), 1).colour.view(32, 32)
    middle = colour[16, 1:16]
    assert (middle[1:] >= middle[:-1]).all()
    assert middle[0] < 13
    torch.testing.assert_close(middle[-1], torch.tensor(COLOUR))


def test_votes_count_in_the_same_unit_whatever_the_rule(vgg):
    picture, mask = boards(), centre()
    fills = [
        refine(picture, mask, blurred(picture, 2.0), vgg, preset("instant", scales=1, rule=rule))[0]
        for rule in ("ncc", "l2")
    ]
    assert torch.equal(*fills)


@pytest.mark.parametrize("near", [False, True])
def test_a_cost_decides_between_equals(near):
    """On equal features the cheapest candidate wins, wherever it is looked for."""
    found = geometry(centre(64, 16), 4)
    bank = make_bank(torch.ones(2, 16, 16), found.candidates)
    box = Box(5, 5, 11, 11)
    query = found.queries.flatten().nonzero().flatten()
    wanted = 2 * 16 + 3
    cost = lambda query, tried: (tried - wanted).abs().float().expand(len(query), -1)  # noqa: E731
    if near:
        guess = torch.full((16, 16), -1)
        guess.view(-1)[query] = wanted + 1  # next to it
        candidate = nearby(box.of(bank.features), box, query, guess, bank, "ncc", cost)
    else:
        _, candidate = nearest(box.of(bank.features), box, found.queries, bank, "ncc", cost)
    assert (candidate == wanted).all()


def test_neighbours_suggest_their_matches_moved():
    guess = torch.full((4, 5), -1)
    guess[1, 1], guess[1, 2] = 13, 7
    tries = suggested(torch.tensor([6]), guess)[0]  # row 1, column 1
    assert tries[AROUND.index((0, 0))] == 13
    assert tries[AROUND.index((0, 1))] == 6
    assert (tries >= 0).sum() == 2


def test_what_is_suggested_lies_in_the_map():
    guess = torch.full((4, 5), -1)
    guess[1, 1], guess[2, 2] = 9, 0  # the last of a row, the first of all
    tries = suggested(torch.tensor([5, 12, 18]), guess)
    assert set(tries.flatten().tolist()) == {-1, 0, 8, 6}


def test_grey_stays_grey_however_it_is_filled(vgg):
    """The gradient through VGG tints what is grey; brightness alone does not."""
    picture, mask = boards().mean(0, keepdim=True).expand(3, -1, -1).contiguous(), centre()
    for name in ("instant", "default"):
        filled, _ = refine(picture, mask, picture.flip(2), vgg, preset(name, scales=1, iterations=2))
        assert (filled.amax(0) - filled.amin(0)).max() < 1e-5
    tinted, _ = refine(picture, mask, picture.flip(2), vgg, preset(scales=1, iterations=2, keep_colours=False))
    assert (tinted.amax(0) - tinted.amin(0)).max() > 1e-3


@pytest.mark.parametrize("name", ["instant", "default"])
def test_a_clear_sky_keeps_its_hue_and_gets_no_grain(vgg, name):
    """Even where the prediction is violet."""
    bright = torch.linspace(0.8, 1.0, 128)[:, None].expand(128, 128)
    sky = torch.tensor([0.45, 0.62, 0.85])[:, None, None] * bright
    mask = centre()
    violet = sky + torch.tensor([0.03, -0.03, 0.0])[:, None, None]
    filled, _ = refine(sky, mask, violet, vgg, preset(name, scales=1))
    hole, truth = (rgb_to_lab(x[None])[0][:, 48:80, 48:80] for x in (filled, sky))
    hue, right = (torch.rad2deg(torch.atan2(x[2].mean(), x[1].mean())) for x in (hole, truth))
    assert (hue - right).abs() < 2
    steps = (filled[:, 48:80, 49:80] - filled[:, 48:80, 48:79]).abs().mean()
    assert steps < 2 / 255


@pytest.mark.parametrize("name", ["instant", "default"])
def test_even_light_gets_no_steps(vgg, name):
    """A wall that is light at the lower right and dark at the upper left: no other patch is as light as the hole."""
    ramp = torch.linspace(0.3, 0.7, 256)
    wall = ((ramp[:, None] + ramp) / 2).expand(3, 256, 256).contiguous()
    mask = centre(256, 96)
    filled, _ = refine(wall * (1 - mask), mask, wall, vgg, preset(name, scales=2))
    torch.testing.assert_close(filled, wall, atol=0.005, rtol=0)


def test_later_scales_look_near_the_matches_of_the_one_before(vgg):
    picture, mask = boards(), centre()
    scale = Scale(vgg, picture, mask, picture, VOTED, {"relu3_1": torch.full((16, 16), -1)})
    found = scale.geometry["relu3_1"]
    rows, columns = found.queries.nonzero().T
    scale.matches["relu3_1"] = torch.where(found.queries, torch.arange(32 * 32).view(32, 32) - 9, -1)
    vote(scale, picture, 1, number=1)
    moves = scale.matches["relu3_1"][rows, columns] - (rows * 32 + columns)
    assert ((moves >= -9 - 33) & (moves <= -9 + 33)).all()
