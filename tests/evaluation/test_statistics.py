import math

import numpy as np
import pytest

from inpaint.evaluation.statistics import Interval, bootstrap, paired_difference

NORMAL = np.random.default_rng(0).normal(10, 2, 400).tolist()


def test_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    standard_error = float(np.std(NORMAL)) / math.sqrt(400)
    mean, low, high = bootstrap(NORMAL)
    assert mean == pytest.approx(np.mean(NORMAL))
    assert mean - low == pytest.approx(1.96 * standard_error, rel=0.1)
    assert high - mean == pytest.approx(1.96 * standard_error, rel=0.1)


def test_two_values_bound_their_own_mean() -> None:
    assert bootstrap([0, 1]) == (0.5, 0, 1)  # a quarter of the resamples is 0, 0 and a quarter 1, 1


def test_the_same_values_give_the_same_interval() -> None:
    assert bootstrap(NORMAL[:20]) == bootstrap(NORMAL[:20])


@pytest.mark.parametrize("values", [[3.5], [3.5] * 7, [math.nan, 3.5], np.array([3.5])])
def test_one_value_is_its_own_interval(values: list[float]) -> None:
    assert bootstrap(values) == Interval(3.5, 3.5, 3.5)


def test_undefined_values_are_left_out() -> None:
    assert bootstrap([0, math.nan, 1]) == bootstrap([0, 1])
    assert all(map(math.isnan, bootstrap([math.nan] * 2)))


def test_an_infinite_value_leaves_no_bounds() -> None:
    mean, low, high = bootstrap([1, math.inf])
    assert mean == math.inf
    assert math.isnan(low)
    assert math.isnan(high)


def test_pairs_are_of_the_same_picture() -> None:
    a = {"x": 1.0, "y": 20.0, "z": 300.0, "only a": 1e6}
    b = {"z": 302.0, "only b": -1e6, "y": 22.0, "x": 3.0}
    assert paired_difference(a, b) == (2, 2, 2)
    assert paired_difference(b, a) == (-2, -2, -2)


def test_a_small_difference_shows_where_pictures_differ_much() -> None:
    rng = np.random.default_rng(1)
    a = dict(zip(map(str, range(30)), rng.normal(20, 5, 30), strict=True))
    b = {key: value + rng.normal(0.5, 0.2) for key, value in a.items()}
    assert bootstrap(list(b.values())).low < bootstrap(list(a.values())).high  # overlap
    assert 0.3 < paired_difference(a, b).low < paired_difference(a, b).mean < paired_difference(a, b).high < 0.7


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])
    with pytest.raises(ValueError, match="no picture in common"):
        paired_difference({"x": 1}, {"y": 1})
