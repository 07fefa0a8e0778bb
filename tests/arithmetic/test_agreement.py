"""Arrays held against each other, on both arithmetics, against what the papers say element by element, in fp64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.interface import Arithmetic
from tests.arithmetic.arrays import KINDS, SIZES, Numbers, check_close, got, numbers, odd, put, put_all, several, wide

VOTES, FACTORS = (0.75, -0.5, 1.25, 0.25), (0.5, 2.0, -1.5, 1.0)
EVERY = pytest.mark.parametrize("kind", KINDS)
MANY = pytest.mark.parametrize("many", [1, 2, 3, 4])
WEIGHTS = {"undivided": None, "weights": (0.75, 0.5, 1.25, 0.25), "negative": (-0.75, 0.5, 1.25, -2.0)}


def _elected(
    arrays: list[Numbers], votes: tuple[float, ...], factors: tuple[float, ...], weights: tuple[float, ...] | None
) -> Numbers:
    """Yadav et al., TIES-Merging, section 3: the sign of the sum, and the mean of what has it."""
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
def test_election(on: Arithmetic, size: int, many: int, weights: tuple[float, ...] | None, kind: Any) -> None:
    """With votes and factors of either sign, written into the first."""
    arrays = several(many, size, kind)
    own = None if weights is None else weights[:many]
    held = put_all(on, arrays)
    made = on.elect(held, VOTES[:many], FACTORS[:many], own)
    assert made is held[0]
    check_close(made, _elected(arrays, VOTES[:many], FACTORS[:many], own), kind, 16.0)


@EVERY
def test_ties_elect_plus(on: Arithmetic, kind: Any) -> None:
    """A sum of 0, of whatever sign, counts as positive; what nothing agrees with is +0, also divided."""
    arrays = [np.array(row, kind) for row in ([3.0, -1.0, 2.0, 0.0, -0.0], [-1.0, -2.0, -2.0, 0.0, -0.0])]
    for weights, expected in ((None, [3.0, -3.0, 2.0, 0.0, 0.0]), ((1.0, 2.0), [3.0, -1.0, 2.0, 0.0, 0.0])):
        made = got(on.elect(put_all(on, arrays), (1.0, 1.0), (1.0, 1.0), weights))
        np.testing.assert_allclose(made, expected, rtol=1e-6)
        assert not np.signbit(made[3:]).any()


@EVERY
@pytest.mark.parametrize("value", [1.0, -1.0])
def test_no_zero_is_negative(on: Arithmetic, value: float, kind: Any) -> None:
    """What agrees but has a factor of 0 is +0, whichever way it went."""
    assert got(on.elect([put(on, np.array([value], kind))], (1.0,), (0.0,), (1.0,))).tobytes() == bytes(kind().nbytes)


@EVERY
def test_weights_that_cancel_do_not_divide(on: Arithmetic, kind: Any) -> None:
    """Where the weights of those that agree add up to 0 the sum stays as it is."""
    arrays = [np.array(row, kind) for row in ([1.0, 1.0], [2.0, -0.5])]
    made = on.elect(put_all(on, arrays), (1.0, 1.0), (1.0, 1.0), (0.5, -0.5))
    assert got(made).tolist() == [3.0, 2.0]


@EVERY
def test_a_vote_of_0_agrees_with_none(on: Arithmetic, kind: Any) -> None:
    """Neither in the sum nor in the divisor."""
    arrays = several(2, 65, kind)
    made = on.elect(put_all(on, arrays), (0.0, 1.0), (1.0, 1.0), (5.0, 1.0))
    assert np.array_equal(got(made), arrays[1])


@EVERY
def test_nan_goes_every_way(on: Arithmetic, kind: Any) -> None:
    """It is in the result; an infinity wins its election."""
    arrays = [np.array(row, kind) for row in ([np.nan, 1.0, np.inf, -np.inf], [1.0, np.nan, -1.0, 5.0])]
    for weights in (None, (1.0, 1.0)):
        made = got(on.elect(put_all(on, arrays), (1.0, 1.0), (1.0, 1.0), weights))
        assert np.isnan(made[:2]).all()
        assert made[2:].tolist() == [np.inf, -np.inf]


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_variance(on: Arithmetic, size: int, many: int, kind: Any) -> None:
    """Of a whole population, in an array of its own."""
    arrays = several(many, size, kind)
    held = put_all(on, arrays)
    check_close(on.variance(held), np.var(np.stack(wide(arrays)), axis=0), kind, 4.0)
    assert all(np.array_equal(got(each), array) for each, array in zip(held, arrays, strict=True))


def _beyond(arrays: list[Numbers], least: float) -> Numbers:
    kind = arrays[0].dtype.type
    return np.stack([abs(array) > kind(least) for array in arrays])


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_changes_and_share(on: Arithmetic, size: int, many: int, kind: Any) -> None:
    """Counts of what each changed with others and alone; NaN is no change."""
    arrays = [odd(size, kind, seed) for seed in range(many)]
    found = _beyond(arrays, 0.3)
    count = found.sum(0)
    expected = [(found & chosen).sum(1).tolist() for chosen in (count > 1, count == 1)]
    assert on.changes(put_all(on, arrays), 0.3) == [*expected[0], *expected[1]]

    held = put_all(on, arrays)
    made = on.share(held, 0.3, FACTORS[:many])
    assert made is held[0]
    scale = np.where(count == 1, np.array(FACTORS[:many])[:, None], 1 / np.maximum(count, 1))
    with np.errstate(invalid="ignore"):
        exact = (np.where(found, np.stack(wide(arrays)), 0.0) * scale).sum(0)
    exact[abs(exact) > np.finfo(kind).max] *= np.inf
    check_close(made, exact, kind, 8.0 * np.where(np.isfinite(exact), 1.0 + abs(exact), 1.0))


@EVERY
def test_the_bound_is_no_change(on: Arithmetic, kind: Any) -> None:
    """Rounded as the elements are: 0.1 is not beyond 0.1, the next number is."""
    value = kind(0.1)
    array = np.array([value, -value, np.nextafter(value, kind(1)), 0.0], kind)
    assert on.changes([put(on, array)], 0.1) == [0.0, 1.0]
    assert np.count_nonzero(got(on.share([put(on, array)], 0.1, [1.0]))) == 1


def test_numbers_past_fp32(on: Arithmetic) -> None:
    """Votes, weights, bounds and factors too large for fp32 are infinite, and neither raise nor warn."""
    ones = [np.ones(3, np.float32)] * 2
    assert got(on.elect(put_all(on, ones), (1.0, 1.0), (1e300, 1.0), None)).tolist() == [math.inf] * 3
    assert got(on.elect(put_all(on, ones), (1.0, 1.0), (1.0, 1.0), (1e300, 1.0))).tolist() == [0.0] * 3
    assert got(on.elect(put_all(on, ones), (1e300, 1.0), (1.0, 1.0), None)).tolist() == [math.inf] * 3
    assert on.changes(put_all(on, ones), 1e300) == [0.0] * 4
    assert got(on.share(put_all(on, ones[:1]), 0.5, [1e300])).tolist() == [math.inf] * 3


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (77, 65), (3, 5000), (2, 20_000), (5000, 1)], ids=str)
def test_divergences(on: Arithmetic, shape: tuple[int, int], kind: Any) -> None:
    """Kullback-Leibler from one softmax to the other, row by row, in fp64; 0 of a row from itself."""
    x, y = several(2, math.prod(shape), kind)
    found = on.divergences(put(on, x), put(on, y), shape[1])
    p, q = (np.exp(each).reshape(shape) for each in wide([x, y]))
    p, q = (each / each.sum(1, keepdims=True) for each in (p, q))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-6)
    assert not on.divergences(put(on, x), put(on, x), shape[1]).any()


@EVERY
def test_divergences_of_odd_rows(on: Arithmetic, kind: Any) -> None:
    """Large numbers do not overflow, and a row with NaN is NaN by itself."""
    rows = np.stack([numbers(8, kind) * 1000, numbers(8, kind), numbers(8, kind)])
    rows[1, 3] = np.nan
    found = on.divergences(put(on, rows.ravel()), put(on, numbers(24, kind)), 8)
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1])
