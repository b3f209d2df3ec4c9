import pytest

from inpaint.errors import UserError
from inpaint.refinement.settings import preset


def test_presets():
    default = preset()
    assert default == preset("default")
    assert default.layers == ("relu3_1", "relu4_1")
    cost = [sum(map(preset(name).iterations_at, range(4))) for name in ("instant", "default", "best")]
    assert cost == [0, 18, 96]
    assert preset("released").content_layer == "relu4_2"
    with pytest.raises(UserError, match="no preset 'quick': choose one of best, default, instant"):
        preset("quick")


@pytest.mark.parametrize("name", ["paper", "released"])
def test_the_sources_mechanisms_and_nothing_else(name):
    chosen = preset(name)
    assert (chosen.colour, chosen.smooth, chosen.voting_scales) == (0, 0, 0)
    assert (chosen.blend_border, chosen.keep_colours, chosen.detail) == (False, False, False)
    assert chosen.gradient_scales is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha": -1.0}, "alpha is -1.0, but has to be at least 0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"smooth": -1.0}, "smooth is -1.0, but has to be at least 0"),
        ({"colour": -0.1}, "colour is -0.1, but has to be at least 0"),
        ({"content_weight": -1.0}, "content_weight is -1.0, but has to be at least 0"),
        ({"scales": 0}, "scales is 0, but has to be at least 1"),
        ({"rounds": 0}, "rounds is 0"),
        ({"iterations": 0}, "iterations is 0, but has to be at least 1"),
        ({"gradient_scales": -1}, "gradient_scales is -1, but has to be at least 0"),
        ({"voting_scales": -1}, "voting_scales is -1"),
        ({"voting_rounds": 0}, "voting_rounds is 0"),
        ({"rule": "cosine"}, "no matching rule 'cosine': choose ncc or l2"),
        ({"layers": ()}, "layers is empty"),
    ],
)
def test_settings_out_of_range(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        preset(**changes)


def test_where_it_votes():
    assert [preset(voting_scales=None, voting_rounds=5).votes_at(number) for number in range(3)] == [5, 1, 1]
    assert [preset(voting_scales=2, voting_rounds=5).votes_at(number) for number in range(3)] == [5, 1, 0]
    assert preset(voting_scales=0).votes_at(0) == 0


def test_where_it_iterates():
    assert [preset(rounds=2, iterations=5, gradient_scales=None).iterations_at(number) for number in range(3)] == [
        10
    ] * 3
    assert [preset(rounds=2, iterations=5, gradient_scales=1).iterations_at(number) for number in range(3)] == [
        10,
        0,
        0,
    ]
    assert preset(gradient_scales=0).iterations_at(0) == 0
