"""Weighted sums and inner products on both backends, against the formulas in fp64."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.backend import Backend
from stacker.arithmetic.numpy_backend import NUMPY
from tests.arithmetic.arrays import KINDS, SIZES, Numbers, check_close, got, numbers, odd, put, put_all, several, wide

FACTORS = (0.75, -0.5, 1.25, 0.125)
ROWS = [(1, 1), (1, 5000), (7, 64), (5, 65), (13, 77), (5000, 1)]
EVERY = pytest.mark.parametrize("kind", KINDS)
MANY = pytest.mark.parametrize("many", [1, 2, 3, 4])


def _sum(factors: Any, arrays: list[Numbers]) -> Numbers:
    found: Numbers = sum(factor * array for factor, array in zip(factors, wide(arrays), strict=True))
    return found


def _pairs(arrays: list[Numbers]) -> list[tuple[Numbers, Numbers]]:
    return list(itertools.combinations_with_replacement(wide(arrays), 2))


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_combine(backend: Backend, many: int, size: int, kind: Any) -> None:
    """The weighted sum is written into the first array."""
    arrays = several(many, size, kind)
    held = put_all(backend, arrays)
    made = backend.combine(FACTORS[:many], held)
    assert made is held[0]
    check_close(made, _sum(FACTORS[:many], arrays), kind, 4.0)


@EVERY
@MANY
@pytest.mark.parametrize("size", [1, 1025])
def test_combine_on_a_base(backend: Backend, many: int, size: int, kind: Any) -> None:
    """The base plus weighted differences from it; the base is not changed."""
    arrays, base = several(many, size, kind), numbers(size, kind, 9)
    held, origin = put_all(backend, arrays), put(backend, base)
    made = backend.combine(FACTORS[:many], held, origin)
    assert made is held[0]
    b = base.astype(np.float64)
    check_close(made, b + _sum(FACTORS[:many], [array - b for array in wide(arrays)]), kind, 8.0)
    assert np.array_equal(got(origin), base)


@EVERY
@pytest.mark.parametrize("based", [False, True], ids=["alone", "base"])
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_factor_of_0_counts_for_nothing(backend: Backend, zero: int, based: bool, kind: Any) -> None:
    """A factor of 0 excludes NaN and infinities at any position, and the result is in the first array."""
    arrays, base = several(3, 1025, kind), numbers(1025, kind, 9) if based else np.zeros(1025, kind)
    arrays[zero] = odd(1025, kind)
    factors = [0.0 if number == zero else factor for number, factor in enumerate(FACTORS[:3])]
    held = put_all(backend, arrays)
    made = backend.combine(factors, held, put(backend, base) if based else None)
    assert made is held[0]
    others = [(factors[number], arrays[number] - base.astype(np.float64)) for number in range(3) if number != zero]
    check_close(made, base.astype(np.float64) + _sum(*zip(*others, strict=True)), kind, 8.0)


@EVERY
def test_all_factors_0(backend: Backend, kind: Any) -> None:
    """If all factors are 0 the result is the base to the bit, or zeros without a base."""
    source, base = odd(65, kind), odd(65, kind, 1)
    assert got(backend.combine([0.0], [put(backend, source)])).tobytes() == bytes(source.nbytes)
    assert (
        got(backend.combine([0.0, 0.0], put_all(backend, [source, source]), put(backend, base))).tobytes()
        == base.tobytes()
    )


@EVERY
def test_odd_numbers_go_through(backend: Backend, kind: Any) -> None:
    """Sums of NaN, infinities and subnormal numbers follow IEEE 754."""
    arrays = [odd(5000, kind, seed) for seed in range(2)]
    with np.errstate(all="ignore"):
        exact = _sum((1.0, 0.5), arrays)
        beyond = abs(exact) > np.finfo(kind).max
        exact[beyond] = np.copysign(np.inf, exact[beyond])
    check_close(backend.combine([1.0, 0.5], put_all(backend, arrays)), exact, kind, 1e-40)


@EVERY
def test_a_factor_of_1_moves_bits(backend: Backend, kind: Any) -> None:
    """Signs of zeros and subnormal numbers are kept."""
    values = odd(5000, kind)
    values = values[~np.isnan(values)]
    assert got(backend.combine([1.0], [put(backend, values)])).tobytes() == values.tobytes()


def test_factors_past_fp32_are_infinite(backend: Backend) -> None:
    """Factors too large for fp32 raise and warn of nothing; fp64 represents them."""
    for kind, value in ((np.float32, math.inf), (np.float64, 1e300)):
        ones = [np.ones(3, kind)] * 2
        assert got(backend.combine([1.0, 1e300], put_all(backend, ones))).tolist() == [value] * 3
        assert got(backend.combine([1e300, 1.0], put_all(backend, ones))).tolist() == [value] * 3
        assert got(backend.add(put(backend, ones[0]), put(backend, ones[1]), 1e300)).tolist() == [value] * 3
        assert got(backend.clamp(put(backend, ones[0]), 1e300)).tolist() == [1.0] * 3
        assert got(backend.fill(put(backend, ones[0]), -1e300)).tolist() == [-value] * 3


@EVERY
def test_subtract_add_and_fill(backend: Backend, kind: Any) -> None:
    """Each difference is written into its own array."""
    x, y = several(2, 1025, kind)
    held = put_all(backend, [x, y])
    found = backend.subtract(held, put(backend, y))
    assert found[0] is held[0]
    assert np.array_equal(got(held[0]), x - y)
    assert not got(held[1]).any()
    added = put(backend, x)
    check_close(backend.add(added, put(backend, y), -0.3), wide([x])[0] - kind(0.3).astype(np.float64) * y, kind, 4.0)
    assert np.array_equal(got(backend.add(put(backend, x), put(backend, y))), x + y)
    assert np.array_equal(got(backend.fill(added, 0.1)), np.full(1025, 0.1, kind))


@EVERY
def test_clamp(backend: Backend, kind: Any) -> None:
    """Values are clamped on both sides; NaN stays."""
    values = odd(1025, kind)
    held = put(backend, values)
    made = backend.clamp(held, 0.3)
    assert made is held
    assert np.array_equal(got(made), np.clip(values, -kind(0.3), kind(0.3)), equal_nan=True)


@EVERY
@MANY
@pytest.mark.parametrize("size", SIZES)
def test_products(backend: Backend, many: int, size: int, kind: Any) -> None:
    """fp32 and fp64 inner products are accurate to fp64, close to the exact sum."""
    arrays = several(many, size, kind)
    found = backend.inner_products(put_all(backend, arrays))
    exact = [math.fsum((one * other).tolist()) for one, other in _pairs(arrays)]
    assert found == pytest.approx(exact, rel=1e-12, abs=1e-11)


@EVERY
@MANY
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_products_of_rows_and_columns(backend: Backend, shape: tuple[int, int], many: int, kind: Any) -> None:
    """Inner products of rows and columns in fp64; those of columns add to a previous tile's."""
    arrays = several(many, math.prod(shape), kind)
    pairs = [(one.reshape(shape), other.reshape(shape)) for one, other in _pairs(arrays)]
    by_row = backend.row_inner_products(put_all(backend, arrays), shape[1])
    assert isinstance(by_row, np.ndarray)
    np.testing.assert_allclose(by_row, np.stack([(x * y).sum(1) for x, y in pairs]), rtol=1e-12, atol=1e-11)
    exact = np.stack([(x * y).sum(0) for x, y in pairs])
    total = backend.column_inner_products(put_all(backend, arrays), shape[1], None)
    np.testing.assert_allclose(backend.to_numpy(total), exact, rtol=1e-12, atol=1e-11)
    again = backend.column_inner_products(put_all(backend, arrays), shape[1], total)
    assert again is total
    np.testing.assert_allclose(backend.to_numpy(again), 2 * exact, rtol=1e-12, atol=1e-11)


@EVERY
@MANY
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_combine_rows_and_columns(backend: Backend, shape: tuple[int, int], many: int, kind: Any) -> None:
    """Each row, or column, has its own factors."""
    arrays = several(many, math.prod(shape), kind)
    factors = [np.random.default_rng(7).standard_normal((many, length)) for length in shape]
    matrices = [array.reshape(shape) for array in wide(arrays)]
    for combine, of, axis in ((backend.combine_rows, factors[0], 1), (backend.combine_columns, factors[1], 0)):
        held = put_all(backend, arrays)
        made = combine(of, held, shape[1])
        assert made is held[0]
        parts = [np.expand_dims(own, axis) * matrix for own, matrix in zip(of, matrices, strict=True)]
        check_close(made, np.sum(parts, axis=0).ravel(), kind, 16.0)


@pytest.mark.parametrize("size", [63, 1000, 5003])
def test_the_order_of_sums_is_fixed(size: int) -> None:
    """Lane k of an inner product adds every 64th element from k on, and lanes are added pairwise."""
    arrays = several(8, size, np.float32)
    found = []
    for one, other in _pairs(arrays):
        products = np.zeros(-(-size // 64) * 64)
        products[:size] = one * other
        lanes = np.zeros(64)
        for row in products.reshape(-1, 64):
            lanes += row
        while len(lanes) > 1:
            lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
        found.append(float(lanes[0]))
    assert NUMPY.inner_products(arrays) == found


def test_threads_change_no_bit() -> None:
    """Threads computing at once give the result of one alone, and a slice that of the whole."""
    arrays = several(3, 5000, np.float32)

    def made(_: int) -> tuple[Any, ...]:
        held = [array.copy() for array in arrays]
        products = NUMPY.inner_products(held), NUMPY.sum_magnitudes(held[0], held[1] > 0)
        return *products, NUMPY.combine(FACTORS[:3], held).tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(repr, pool.map(made, range(32))))) == 1
    whole = NUMPY.combine(FACTORS[:3], [array.copy() for array in arrays])
    part = NUMPY.combine(FACTORS[:3], [array[333:777].copy() for array in arrays])
    assert np.array_equal(part, whole[333:777])
