"""Says how sure a mean or a difference is: percentile intervals of a bootstrap over items. Computes in fp64.

Items are what is independent: passages or questions, never tokens. Efron and Tibshirani, An Introduction to the
Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stacker.measure.results import Estimate, Sample

RESAMPLES = 10_000
SEED = 0
LEVEL = 0.95
FEWEST = 6
"""With fewer items there is no interval: of five, all could point in one direction by chance in 6 of 100 cases."""
_Z_LEVEL, _Z_POWER = 1.959964, 0.841621
"""Quantiles of the normal distribution for an interval of 95% and for four of five cases."""
_AT_ONCE = 4_000_000
"""How many draws are made at once, so that memory stays small."""


def estimate_mean(sample: Sample, level: float = LEVEL) -> Estimate:
    """The value of a sample, with its interval."""
    return _estimate(np.array(sample.sums), np.array(sample.weights), level)


def estimate_difference(sample: Sample, reference: Sample, level: float = LEVEL) -> Estimate:
    """The value of a sample minus that of a reference with the same items and weights, with its interval.

    Items are drawn in pairs: what makes an item hard for both does not widen the interval.
    """
    if sample.weights != reference.weights:
        raise ValueError("paired samples must have the same items")
    return _estimate(np.array(sample.sums) - np.array(reference.sums), np.array(sample.weights), level)


def _estimate(sums: np.ndarray, weights: np.ndarray, level: float) -> Estimate:
    count, value = len(sums), float(math.fsum(sums) / math.fsum(weights))
    if count < FEWEST:
        return Estimate(value, count)
    low, high = resample(sums, weights, level)
    return Estimate(value, count, low, high, _count_needed(sums, weights, value))


def resample(sums: np.ndarray, weights: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The bounds of the percentile interval of the mean: items are drawn with replacement RESAMPLES times."""
    source = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    step = max(1, _AT_ONCE // len(sums))
    for start in range(0, RESAMPLES, step):
        drawn = source.integers(len(sums), size=(min(step, RESAMPLES - start), len(sums)))
        means[start : start + step] = sums[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _count_needed(sums: np.ndarray, weights: np.ndarray, value: float) -> int | None:
    """How many items it takes until the interval excludes 0 in four of five cases; None if the value is 0."""
    if not value:
        return None
    spread = float(np.std((sums - value * weights) / weights.mean(), ddof=1))
    return max(FEWEST, math.ceil(((_Z_LEVEL + _Z_POWER) * spread / value) ** 2))


def make_sample(values: np.ndarray | Sequence[float], owners: np.ndarray | Sequence[int], count: int) -> Sample:
    """The sample of values that belong to `count` items; each value has the weight 1, items without one are left out.

    `owners` has the number of each value's item.
    """
    sums = np.bincount(np.asarray(owners), weights=np.asarray(values, dtype=np.float64), minlength=count)
    weights = np.bincount(np.asarray(owners), minlength=count)
    some = weights > 0
    return Sample(tuple(sums[some].tolist()), tuple(weights[some].astype(float).tolist()))
