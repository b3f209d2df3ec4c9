"""How sure a mean over a few pictures is: bootstrap intervals (Efron 1979)."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over pictures, and the bounds between which it lies with the stated confidence."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of one value a picture, with its percentile bootstrap interval: pictures are drawn with replacement.

    NaN, a measure that is undefined for a picture, is left out; if nothing is left, all three are NaN. One value is its
    own interval. An infinite value (the PSNR of identical pictures) makes the mean infinite and the bounds NaN.

    Args:
        values: one a picture.
        level: the confidence, between 0 and 1.
        seed: of the resampling; the same values and seed give the same interval.

    Raises:
        ValueError: there are no values, or the level is not between 0 and 1.
    """
    if not len(values):
        raise ValueError("there are no values to take a mean of")
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}, but has to be between 0 and 1")
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(sample.mean())
    if math.isinf(mean):
        return Interval(mean, math.nan, math.nan)
    if len(sample) == 1:
        return Interval(mean, mean, mean)
    low, high = stats.bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, confidence_level=level, method="percentile", rng=seed
    ).confidence_interval
    return Interval(mean, float(low), float(high))


def paired(a: Mapping[str, float], b: Mapping[str, float], level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of b - a, picture by picture, with its interval: how much b changes a measure against a.

    Only the ids that both have count. An interval that excludes 0 is a difference that the pictures bear out, even
    where the intervals of a and b alone overlap: what makes one picture harder than another is taken out.

    Raises:
        ValueError: no id is in both, or the level is not between 0 and 1.
    """
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ValueError("the two have no picture in common")
    return bootstrap([b[picture_id] - a[picture_id] for picture_id in common], level, seed)
