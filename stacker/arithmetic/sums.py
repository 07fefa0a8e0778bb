"""Compiled functions for weighted sums and inner products of arrays; `out` may be one of the arrays.

Weighted sums are computed in chunks that fit the L1 cache. Inner products are computed in fp64 as LANES partial sums,
each over every LANES-th element, which are then added pairwise; the order is fixed, so all CPUs compute identical bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled

Arrays = Any
"""A tuple of one-dimensional arrays, all with one dtype and one length."""
CHUNK = 1024
LANES = 64


@compiled
def add_up(factors: Any, arrays: Arrays, start: int, count: int, total: Any) -> None:
    """Write Σ fᵢxᵢ for the `count` elements from index `start` to the first `count` elements of `total`."""
    for number in range(len(arrays)):
        part, factor = arrays[number][start : start + count], factors[number]
        if number == 0:
            for k in range(count):
                total[k] = factor * part[k]
        else:
            for k in range(count):
                total[k] += factor * part[k]


@compiled
def combine(factors: Any, arrays: Arrays, out: Any) -> None:
    """Write the weighted sum Σ fᵢxᵢ to `out`; f are `factors`, x are `arrays`."""
    total = np.empty(CHUNK, out.dtype)
    for start in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - start)
        add_up(factors, arrays, start, count, total)
        result = out[start : start + count]
        for k in range(count):
            result[k] = total[k]


@compiled
def combine_on(factors: Any, arrays: Arrays, base: Any, out: Any) -> None:
    """Write b + Σ fᵢ(xᵢ − b) to `out`, where b is the base."""
    total = np.empty(CHUNK, out.dtype)
    for start in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - start)
        origin = base[start : start + count]
        for number in range(len(arrays)):
            part, factor = arrays[number][start : start + count], factors[number]
            if number == 0:
                for k in range(count):
                    total[k] = factor * (part[k] - origin[k])
            else:
                for k in range(count):
                    total[k] += factor * (part[k] - origin[k])
        result = out[start : start + count]
        for k in range(count):
            result[k] = total[k] + origin[k]


@compiled
def subtract(array: Any, base: Any) -> None:
    """Write x − b into x, where b is the base."""
    for k in range(array.size):
        array[k] -= base[k]


@compiled
def add(array: Any, other: Any, factor: Any) -> None:
    """Write x + fy into x, where y is `other` and f the factor."""
    for k in range(array.size):
        array[k] += factor * other[k]


@compiled
def inner_product(one: Any, other: Any) -> Any:
    """Compute the inner product of two arrays in fp64."""
    lanes = np.zeros(LANES)
    whole = one.size // LANES * LANES
    for start in range(0, whole, LANES):
        left, right = one[start : start + LANES], other[start : start + LANES]
        for k in range(LANES):
            lanes[k] += np.float64(left[k]) * np.float64(right[k])
    for k in range(whole, one.size):
        lanes[k - whole] += np.float64(one[k]) * np.float64(other[k])
    half = LANES // 2
    while half:
        for k in range(half):
            lanes[k] += lanes[k + half]
        half //= 2
    return lanes[0]


@compiled
def row_inner_products(arrays: Arrays, row: int, out: Any) -> None:
    """Write to `out` the inner products ⟨xᵢ, xⱼ⟩ of the arrays, row by row, for all pairs i ≤ j.

    A row has `row` elements, and `out` has the shape [pairs, rows].
    """
    for number in range(out.shape[1]):
        start, pair = number * row, 0
        for i in range(len(arrays)):
            for j in range(i, len(arrays)):
                out[pair, number] = inner_product(arrays[i][start : start + row], arrays[j][start : start + row])
                pair += 1


@compiled
def column_inner_products(arrays: Arrays, row: int, out: Any) -> None:
    """Add to `out` the inner products ⟨xᵢ, xⱼ⟩ of the arrays, column by column, for all pairs i ≤ j.

    The arrays are matrices with rows of `row` elements, and `out` has the shape [pairs, row].
    """
    for start in range(0, arrays[0].size, row):
        pair = 0
        for i in range(len(arrays)):
            left = arrays[i][start : start + row]
            for j in range(i, len(arrays)):
                right, total = arrays[j][start : start + row], out[pair]
                for k in range(row):
                    total[k] += np.float64(left[k]) * np.float64(right[k])
                pair += 1


@compiled
def combine_rows(factors: Any, arrays: Arrays, row: int, out: Any) -> None:
    """Write Σ fᵢ[r]xᵢ to `out`, where r is the number of the element's row; `out` must be the first array.

    The shape of `factors` is [arrays, rows], and `row` is the length of a row.
    """
    for number in range(out.size // row):
        start = number * row
        result = out[start : start + row]
        for k in range(row):
            total = factors[0, number] * result[k]
            for i in range(1, len(arrays)):
                total += factors[i, number] * arrays[i][start + k]
            result[k] = total


@compiled
def combine_columns(factors: Any, arrays: Arrays, row: int, out: Any) -> None:
    """Write Σ fᵢ[c]xᵢ to `out`, where c is the element's index in its row; `out` must be the first array.

    The shape of `factors` is [arrays, row], where `row` is the length of a row.
    """
    for start in range(0, out.size, row):
        result = out[start : start + row]
        for k in range(row):
            total = factors[0, k] * result[k]
            for i in range(1, len(arrays)):
                total += factors[i, k] * arrays[i][start + k]
            result[k] = total
