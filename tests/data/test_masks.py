import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint.data.masks import centre_square, free_form, hole_generator, mixed, random_blocks
from inpaint.errors import UserError
from inpaint.imaging.pixels import middle

HOLES = [centre_square, random_blocks, free_form, mixed]


@pytest.mark.parametrize("hole", HOLES)
@settings(deadline=None, max_examples=40)
@given(height=st.integers(4, 97), width=st.integers(4, 97), seed=st.integers(0, 2**40))
def test_a_hole_is_binary_never_empty_and_inside_the_middle_half(hole, height, width, seed):
    mask = hole((height, width), hole_generator(seed))
    assert mask.shape == (1, height, width)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() >= 1
    assert mask.sum() == middle(mask).sum()


@pytest.mark.parametrize("hole", HOLES)
def test_the_generator_alone_decides(hole):
    first, again = (hole((64, 64), hole_generator("a", 1)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("hole", [random_blocks, free_form, mixed])
def test_other_keys_give_other_holes(hole):
    holes = {hole((64, 64), hole_generator(seed)).numpy().tobytes() for seed in range(20)}
    assert len(holes) >= (13 if hole is mixed else 20)  # a third of the mixed ones are the same square


@pytest.mark.parametrize(
    ("side", "fraction", "start", "stop"),
    [(512, 0.5, 128, 384), (128, 0.5, 32, 96), (512, 0.4375, 144, 368), (128, 0.4375, 36, 92)],
)
def test_centre_square_lies_where_the_papers_put_it(side, fraction, start, stop):
    expected = torch.zeros(1, side, side)
    expected[:, start:stop, start:stop] = 1
    assert torch.equal(centre_square((side, side), torch.Generator(), fraction=fraction), expected)


@pytest.mark.parametrize("size", [(128, 128), (130, 67), (55, 54)])
def test_the_default_square_is_the_middle_half_and_centred(size):
    mask = centre_square(size, torch.Generator())
    assert middle(mask).min() == 1
    assert torch.equal(mask, mask.flip(-1, -2))


def test_free_form_is_thicker_with_a_larger_width():
    thin, thick = (
        sum(free_form((128, 128), hole_generator(seed), width=(w, w)).mean() for seed in range(20)) for w in (0.01, 0.1)
    )
    assert thick > 3 * thin


def test_free_form_with_more_strokes_and_vertices_covers_more():
    def cover(**options):
        return sum(free_form((128, 128), hole_generator(seed), **options).mean() for seed in range(20))

    assert cover(strokes=8) > cover(strokes=1)
    assert cover(vertices=12) > cover(vertices=2)


def test_one_block_has_the_sides_asked_for():
    for seed in range(10):
        mask = random_blocks((128, 128), hole_generator(seed), blocks=1, side=(0.125, 0.25))
        rows, columns = mask[0].amax(1).sum(), mask[0].amax(0).sum()
        assert mask.sum() == rows * columns
        assert 16 <= min(rows, columns) <= max(rows, columns) <= 32


def test_mixed_gives_each_kind_and_its_square_the_fraction():
    holes = [mixed((64, 64), hole_generator(seed), fraction=0.25) for seed in range(60)]
    square = centre_square((64, 64), torch.Generator(), fraction=0.25)
    assert 10 <= sum(torch.equal(hole, square) for hole in holes) <= 30


def test_generators_depend_on_every_key_and_on_their_types_and_order():
    keys = [(1, 2), (2, 1), (12,), ("1", 2), (1, 2, 0), ("1, 2",)]
    draws = {torch.rand(4, generator=hole_generator(*key)).numpy().tobytes() for key in keys}
    assert len(draws) == len(keys)


def test_generators_are_the_same_in_every_process():
    # A constant: Python's own hash() would give another value in each process.
    assert hole_generator("evaluation", 0, "brick").initial_seed() == 6764737285800469889


@pytest.mark.parametrize(
    ("hole", "options", "named"),
    [
        (centre_square, {"fraction": 0.0}, "fraction"),
        (centre_square, {"fraction": 0.75}, "fraction"),
        (mixed, {"fraction": -1.0}, "fraction"),
        (random_blocks, {"blocks": 0}, "blocks"),
        (random_blocks, {"side": (0.3, 0.2)}, "side"),
        (random_blocks, {"side": (0.3, 0.6)}, "side"),
        (free_form, {"strokes": 0}, "strokes"),
        (free_form, {"vertices": 1}, "vertices"),
        (free_form, {"width": (0.0, 0.1)}, "width"),
    ],
)
def test_impossible_settings_are_refused_by_name(hole, options, named):
    seed = 1  # a square, of the mixed ones
    with pytest.raises(UserError, match=named):
        hole((64, 64), hole_generator(seed), **options)
