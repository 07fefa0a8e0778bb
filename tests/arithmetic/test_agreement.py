"""Comparisons between arrays on both backends, against the papers' formulas element by element in fp64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.backend import Backend
from tests.arithmetic.arrays import KINDS, SIZES, Numbers, check_close, got, numbers, odd, put, put_all, several, wide

VOTES, FACTORS = (0.75, -0.5, 1.25, 0.25), (0.5, 2.0, -1.5, 1.0)
EVERY = pytest.mark.parametrize("kind", KINDS)
MANY = pytest.mark.parametrize("many", [1, 2, 3, 4])
WEIGHTS = {"undivided": None, "weights": (0.75, 0.5, 1.25, 0.25), "negative": (-0.75, 0.5, 1.25, -2.0)}


def _elected(
    arrays: list[Numbers], votes: tuple[float, ...], factors: tuple[float, ...], weights: tuple[float, ...] | None
) -> Numbers:
    """Yadav et al., TIES-Merging, section 3: the sign of the sum, and the mean of the elements with this sign."""
    cast = np.stack([vote * array for vote, array in zip(votes, wide(arrays), strict=True)])
    sign = np.where(cast.sum(0) >= 0, 1.0, -1.0)
    agree = cast * sign > 0
    total: Numbers = np.where(agree, cast * np.array(factors)[:, None], 0.0).sum(0)
    if weights is None:
        return total
    divisor: Numbers = np.where(agree, np.array(weights)[:, None], 0.0).sum(0)
    divisor[divisor == 0] = 1.0
    total /= divisor
    return total


@EVERY
@MANY
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("size", [1, 65, 1023, 5000])
def test_election(backend: Backend, size: int, many: int, weights: tuple[float, ...] | None, kind: Any) -> None:
    """Votes and factors may be negative; the result is written into the first array."""
    arrays = several(many, size, kind)
    own = None if weights is None else weights[:many]
    held = put_all(backend, arrays)
    made = backend.merge_elected(held, VOTES[:many], FACTORS[:many], own)
    assert made is held[0]
    check_close(made, _elected(arrays, VOTES[:many], FACTORS[:many], own), kind, 16.0)


@EVERY
def test_ties_elect_plus(backend: Backend, kind: Any) -> None:
    """A sum of +0 or −0 counts as positive; an element without an agreeing source is +0, with or without weights."""
    arrays = [np.array(row, kind) for row in ([3.0, -1.0, 2.0, 0.0, -0.0], [-1.0, -2.0, -2.0, 0.0, -0.0])]
    for weights, expected in ((None, [3.0, -3.0, 2.0, 0.0, 0.0]), ((1.0, 2.0), [3.0, -1.0, 2.0, 0.0, 0.0])):
        made = got(backend.merge_elected(put_all(backend, arrays), (1.0, 1.0), (1.0, 1.0), weights))
        np.testing.assert_allclose(made, expected, rtol=1e-6)
        assert not np.signbit(made[3:]).any()


@EVERY
@pytest.mark.parametrize("value", [1.0, -1.0])
def test_no_zero_is_negative(backend: Backend, value: float, kind: Any) -> None:
    """An agreeing element with a factor of 0 becomes +0, whatever its sign."""
    assert got(
        backend.merge_elected([put(backend, np.array([value], kind))], (1.0,), (0.0,), (1.0,))
    ).tobytes() == bytes(kind().nbytes)


@EVERY
def test_weights_that_cancel_do_not_divide(backend: Backend, kind: Any) -> None:
    """If the weights of the agreeing sources add up to 0, the sum is not divided."""
    arrays = [np.array(row, kind) for row in ([1.0, 1.0], [2.0, -0.5])]
    made = backend.merge_elected(put_all(backend, arrays), (1.0, 1.0), (1.0, 1.0), (0.5, -0.5))
    assert got(made).tolist() == [3.0, 2.0]


@EVERY
def test_a_vote_of_0_agrees_with_none(backend: Backend, kind: Any) -> None:
    """A source with a vote of 0 enters neither the sum nor the divisor."""
    arrays = several(2, 65, kind)
    made = backend.merge_elected(put_all(backend, arrays), (0.0, 1.0), (1.0, 1.0), (5.0, 1.0))
    assert np.array_equal(got(made), arrays[1])


@EVERY
def test_nan_goes_every_way(backend: Backend, kind: Any) -> None:
    """NaN stays in the result, and an infinity decides the sign."""
    arrays = [np.array(row, kind) for row in ([np.nan, 1.0, np.inf, -np.inf], [1.0, np.nan, -1.0, 5.0])]
    for weights in (None, (1.0, 1.0)):
        made = got(backend.merge_elected(put_all(backend, arrays), (1.0, 1.0), (1.0, 1.0), weights))
        assert np.isnan(made[:2]).all()
        assert made[2:].tolist() == [np.inf, -np.inf]


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_variance(backend: Backend, size: int, many: int, kind: Any) -> None:
    """The population variance is returned in a new array."""
    arrays = several(many, size, kind)
    held = put_all(backend, arrays)
    check_close(backend.variance(held), np.var(np.stack(wide(arrays)), axis=0), kind, 4.0)
    assert all(np.array_equal(got(each), array) for each, array in zip(held, arrays, strict=True))


def _beyond(arrays: list[Numbers], least: float) -> Numbers:
    kind = arrays[0].dtype.type
    return np.stack([abs(array) > kind(least) for array in arrays])


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_changes_and_share(backend: Backend, size: int, many: int, kind: Any) -> None:
    """Elements changed by several sources and by one alone are counted; NaN does not count as a change."""
    arrays = [odd(size, kind, seed) for seed in range(many)]
    found = _beyond(arrays, 0.3)
    count = found.sum(0)
    expected = [(found & chosen).sum(1).tolist() for chosen in (count > 1, count == 1)]
    assert backend.count_changes(put_all(backend, arrays), 0.3) == [*expected[0], *expected[1]]

    held = put_all(backend, arrays)
    made = backend.merge_changes(held, 0.3, FACTORS[:many])
    assert made is held[0]
    scale = np.where(count == 1, np.array(FACTORS[:many])[:, None], 1 / np.maximum(count, 1))
    with np.errstate(invalid="ignore"):
        exact = (np.where(found, np.stack(wide(arrays)), 0.0) * scale).sum(0)
    exact[abs(exact) > np.finfo(kind).max] *= np.inf
    check_close(made, exact, kind, 8.0 * np.where(np.isfinite(exact), 1.0 + abs(exact), 1.0))


@EVERY
def test_the_bound_is_no_change(backend: Backend, kind: Any) -> None:
    """The bound is rounded to the arrays' type: 0.1 does not exceed 0.1, the next number does."""
    value = kind(0.1)
    array = np.array([value, -value, np.nextafter(value, kind(1)), 0.0], kind)
    assert backend.count_changes([put(backend, array)], 0.1) == [0.0, 1.0]
    assert np.count_nonzero(got(backend.merge_changes([put(backend, array)], 0.1, [1.0]))) == 1


def test_numbers_past_fp32(backend: Backend) -> None:
    """Votes, weights, bounds and factors too large for fp32 become infinite without an error or a warning."""
    ones = [np.ones(3, np.float32)] * 2
    assert got(backend.merge_elected(put_all(backend, ones), (1.0, 1.0), (1e300, 1.0), None)).tolist() == [math.inf] * 3
    assert (
        got(backend.merge_elected(put_all(backend, ones), (1.0, 1.0), (1.0, 1.0), (1e300, 1.0))).tolist() == [0.0] * 3
    )
    assert got(backend.merge_elected(put_all(backend, ones), (1e300, 1.0), (1.0, 1.0), None)).tolist() == [math.inf] * 3
    assert backend.count_changes(put_all(backend, ones), 1e300) == [0.0] * 4
    assert got(backend.merge_changes(put_all(backend, ones[:1]), 0.5, [1e300])).tolist() == [math.inf] * 3


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (77, 65), (3, 5000), (2, 20_000), (5000, 1)], ids=str)
def test_divergences(backend: Backend, shape: tuple[int, int], kind: Any) -> None:
    """The KL divergence of softmaxes row by row in fp64; 0 for equal rows."""
    x, y = several(2, math.prod(shape), kind)
    found = backend.row_divergences(put(backend, x), put(backend, y), shape[1])
    p, q = (np.exp(each).reshape(shape) for each in wide([x, y]))
    p, q = (each / each.sum(1, keepdims=True) for each in (p, q))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-6)
    assert not backend.row_divergences(put(backend, x), put(backend, x), shape[1]).any()


@EVERY
def test_divergences_of_odd_rows(backend: Backend, kind: Any) -> None:
    """Large numbers do not overflow, and NaN affects its own row only."""
    rows = np.stack([numbers(8, kind) * 1000, numbers(8, kind), numbers(8, kind)])
    rows[1, 3] = np.nan
    found = backend.row_divergences(put(backend, rows.ravel()), put(backend, numbers(24, kind)), 8)
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1])
