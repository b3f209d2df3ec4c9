import math
from collections.abc import Callable

import numpy as np
import pytest

from inpaint.evaluation.statistics import FEWEST, Interval, mean_interval, paired_difference

NORMAL = np.random.default_rng(0).normal(10, 2, 400).tolist()
SAMPLERS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, shape: rng.normal(3, 2, shape), 3),
    "uniform": (lambda rng, shape: rng.uniform(0, 1, shape), 0.5),
    "psnr": (lambda rng, shape: 12 + rng.gamma(6, 1, shape), 18),  # skewed as the PSNR of photographs is
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1),
}


@pytest.mark.parametrize("pictures", [6, 8, 14, 50])
@pytest.mark.parametrize(
    ("kind", "least"), [("normal", 0.94), ("uniform", 0.925), ("psnr", 0.925), ("exponential", 0.88)]
)
def test_the_interval_covers_the_mean_as_often_as_it_says(kind: str, least: float, pictures: int) -> None:
    """4000 samples tell the share to 0.7 per cent; percentile and BCa bootstraps of six pictures cover 0.78 to 0.89."""
    sampler, mean = SAMPLERS[kind]
    found = [mean_interval(sample) for sample in sampler(np.random.default_rng(pictures), (4000, pictures))]
    assert least < np.mean([interval.low <= mean <= interval.high for interval in found]) < 0.96


def test_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    standard_error = float(np.std(NORMAL)) / math.sqrt(400)
    mean, low, high = mean_interval(NORMAL)
    assert mean == pytest.approx(np.mean(NORMAL))
    assert mean - low == pytest.approx(1.96 * standard_error, rel=0.01)
    assert high - mean == pytest.approx(1.96 * standard_error, rel=0.01)


def test_known_interval() -> None:
    """Of 1 to 6: s^2 = 3.5, and t is 2.570582 for five degrees of freedom."""
    reach = 2.570582 * math.sqrt(3.5 / 6)
    assert mean_interval([1, 2, 3, 4, 5, 6]) == pytest.approx((3.5, 3.5 - reach, 3.5 + reach), rel=1e-6)


@pytest.mark.parametrize("values", [[3.5], [2.5, 4.5], [math.nan, 3, 4], [math.nan, *range(1, FEWEST), 6][:FEWEST]])
def test_few_values_have_a_mean_alone(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.mean == np.nanmean(values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_interval([3.5] * 7) == Interval(3.5, 3.5, 3.5)


def test_undefined_values_are_left_out() -> None:
    assert mean_interval([0, math.nan, *NORMAL]) == mean_interval([0, *NORMAL])
    assert all(map(math.isnan, mean_interval([math.nan] * 8)))


def test_an_infinite_value_leaves_no_bounds() -> None:
    mean, low, high = mean_interval([*NORMAL, math.inf])
    assert mean == math.inf
    assert math.isnan(low)
    assert math.isnan(high)


def test_pairs_are_of_the_same_picture() -> None:
    a = {"x": 1.0, "y": 20.0, "z": 300.0, "u": 0.0, "v": 0.5, "w": 7.0, "only a": 1e6}
    b = {"z": 302.0, "only b": -1e6, "y": 22.0, "x": 3.0, "w": 9.0, "u": 2.0, "v": 2.5}
    assert paired_difference(a, b) == (2, 2, 2)
    assert paired_difference(b, a) == (-2, -2, -2)


def test_a_small_difference_shows_where_pictures_differ_much() -> None:
    rng = np.random.default_rng(1)
    a = dict(zip(map(str, range(30)), rng.normal(20, 5, 30), strict=True))
    b = {key: value + rng.normal(0.5, 0.2) for key, value in a.items()}
    assert mean_interval(list(b.values())).low < mean_interval(list(a.values())).high  # overlap
    assert 0.3 < paired_difference(a, b).low < paired_difference(a, b).mean < paired_difference(a, b).high < 0.7


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
    with pytest.raises(ValueError, match="no picture in common"):
        paired_difference({"x": 1}, {"y": 1})
