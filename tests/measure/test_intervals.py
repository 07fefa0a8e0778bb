"""Intervals are those of a naive bootstrap, cover the truth as often as they say, and are exact for equal models."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.measure.intervals import (
    FEWEST,
    RESAMPLES,
    SEED,
    estimate_difference,
    estimate_mean,
    make_sample,
    resample,
)
from stacker.measure.results import Sample

LOSSES = st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 300)), min_size=FEWEST, max_size=20)


def sample_of(pairs: list[tuple[float, int]]) -> Sample:
    return Sample(tuple(value * count for value, count in pairs), tuple(float(count) for _, count in pairs))


def test_it_is_a_bootstrap() -> None:
    """The bounds equal those of a loop that draws passages and divides sums by counts."""
    source = random.Random(1)
    pairs = [(source.gauss(0.1, 0.3), source.randrange(50, 400)) for _ in range(12)]
    sample = sample_of(pairs)
    draws = np.random.default_rng(SEED).integers(12, size=(RESAMPLES, 12)).tolist()
    means = sorted(
        math.fsum(sample.sums[at] for at in drawn) / math.fsum(sample.weights[at] for at in drawn) for drawn in draws
    )
    found = estimate_mean(sample)
    assert (found.low, found.high) == pytest.approx(_quantiles(means), rel=1e-12)
    assert found.value == math.fsum(value * count for value, count in pairs) / sum(count for _, count in pairs)


def _quantiles(ordered: list[float]) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile, interpolated between neighbours."""
    found = []
    for share in (0.025, 0.975):
        place = share * (len(ordered) - 1)
        below = int(place)
        found.append(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))
    return found[0], found[1]


@given(LOSSES)
def test_equal_models_differ_by_exactly_nothing(pairs: list[tuple[float, int]]) -> None:
    """The difference, both bounds and what they say are exactly 0."""
    sample = sample_of(pairs)
    found = estimate_difference(sample, sample)
    assert (found.value, found.low, found.high, found.needed, found.excludes_zero) == (0.0, 0.0, 0.0, None, False)


def test_a_constant_difference_is_certain() -> None:
    """A model that is worse by 0.25 nats in every passage, however hard, has the interval [0.25, 0.25]."""
    pairs = [(2.0 + number, 64) for number in range(8)]
    found = estimate_difference(sample_of([(value + 0.25, count) for value, count in pairs]), sample_of(pairs))
    assert (found.value, found.low, found.high, found.needed) == (0.25, 0.25, 0.25, FEWEST)


def test_pairs_are_narrower() -> None:
    """Passages that are hard for both models widen the interval of the mean, and not that of the difference."""
    source = random.Random(2)
    pairs = [(source.gauss(3, 1), 100) for _ in range(20)]
    other = [(value + source.gauss(0.1, 0.02), count) for value, count in pairs]
    difference, mean = estimate_difference(sample_of(other), sample_of(pairs)), estimate_mean(sample_of(other))
    assert difference.excludes_zero
    assert (difference.high or 0) - (difference.low or 0) < ((mean.high or 0) - (mean.low or 0)) / 10


def test_coverage() -> None:
    """Of 400 intervals over 30 items, 90 to 97 of 100 contain the true mean."""
    source = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        low, high = resample(source.normal(1.0, 2.0, 30), np.ones(30))
        hits += low <= 1.0 <= high
    assert 0.90 <= hits / 400 <= 0.97


def test_how_many_it_takes() -> None:
    """With the number of items it asks for, four of five intervals exclude 0."""
    source = np.random.default_rng(4)
    pilot = Sample(tuple(source.normal(0.5, 1.0, 2000).tolist()), (1.0,) * 2000)
    needed = estimate_mean(pilot).needed
    assert needed is not None
    assert needed == pytest.approx(((1.96 + 0.8416) * statistics.stdev(pilot.sums) / pilot.value) ** 2, rel=0.05)
    found = [resample(source.normal(0.5, 1.0, needed), np.ones(needed)) for _ in range(200)]
    assert 0.7 <= sum(low > 0 for low, _ in found) / 200 <= 0.9


def test_few_items_have_no_interval() -> None:
    """Five passages may agree by chance too often: there is a value, and no verdict."""
    found = estimate_mean(sample_of([(1.0, 10)] * (FEWEST - 1)))
    assert (found.value, found.low, found.high, found.needed, found.excludes_zero) == (1.0, None, None, None, None)


def test_samples_must_be_paired() -> None:
    """Samples of different items cannot be subtracted."""
    with pytest.raises(ValueError, match="same items"):
        estimate_difference(sample_of([(1.0, 10)] * 6), sample_of([(1.0, 11)] * 6))


def test_values_are_summed_by_item() -> None:
    """Each item has the sum and the number of its values; an item without values is left out."""
    assert make_sample([1.0, 2.0, 4.0], [0, 0, 2], 3) == Sample((3.0, 4.0), (2.0, 1.0))
