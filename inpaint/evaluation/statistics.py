"""Bootstrap intervals (Efron 1979): how sure a mean over a few pictures is, and a difference of two."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over pictures, and the bounds between which it lies with 95 % confidence."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float]) -> Interval:
    """Computes the mean of one value a picture, and its percentile bootstrap interval.

    The seed is fixed. NaN, a measure that is undefined for a picture, is left out; if nothing is left, all three are
    NaN. One value is its own interval. An infinite value (the PSNR of identical pictures) makes the mean infinite and
    the bounds NaN.

    Raises:
        ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("there are no values to take a mean of")
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
        (sample,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=0
    ).confidence_interval
    return Interval(mean, float(low), float(high))


def paired_difference(a: Mapping[str, float], b: Mapping[str, float]) -> Interval:
    """Computes the mean of b - a over the pictures that both have (the keys are their ids), and its interval.

    An interval that excludes 0 is a difference that the pictures bear out, even where the intervals of a and b alone
    overlap: what makes one picture harder than another is taken out.

    Raises:
        ValueError: no id is in both.
    """
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ValueError("the two have no picture in common")
    return bootstrap([b[picture_id] - a[picture_id] for picture_id in common])
