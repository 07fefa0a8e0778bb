"""Compiled functions that add products of thin matrices to parts of a large matrix.

An element of a product is summed in the order of the rank, whatever part of the matrix is computed with it, so that
all CPUs compute identical bits, in tiles of any size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled

COLUMNS = 512
"""How many columns of a product are computed at once, so that they and the rows of `right` stay in the caches."""


@compiled
def multiply_rows(left: Any, right: Any, row: int, column: int, count: int, total: Any) -> None:
    """Write the product in rows [row, row + 4) and columns [column, column + count) to `total` [4, COLUMNS].

    Four rows of `left` are multiplied by four rows of `right` at a time, to read and write `total` less often.
    """
    first, second, third, fourth = total[0], total[1], total[2], total[3]
    for k in range(count):
        first[k] = second[k] = third[k] = fourth[k] = 0
    for rank in range(0, left.shape[1], 4):
        a, b, c, d = left[row], left[row + 1], left[row + 2], left[row + 3]
        a0, a1, a2, a3 = a[rank], a[rank + 1], a[rank + 2], a[rank + 3]
        b0, b1, b2, b3 = b[rank], b[rank + 1], b[rank + 2], b[rank + 3]
        c0, c1, c2, c3 = c[rank], c[rank + 1], c[rank + 2], c[rank + 3]
        d0, d1, d2, d3 = d[rank], d[rank + 1], d[rank + 2], d[rank + 3]
        w = right[rank, column : column + count]
        x = right[rank + 1, column : column + count]
        y = right[rank + 2, column : column + count]
        z = right[rank + 3, column : column + count]
        for k in range(count):
            first[k] = (((first[k] + a0 * w[k]) + a1 * x[k]) + a2 * y[k]) + a3 * z[k]
            second[k] = (((second[k] + b0 * w[k]) + b1 * x[k]) + b2 * y[k]) + b3 * z[k]
            third[k] = (((third[k] + c0 * w[k]) + c1 * x[k]) + c2 * y[k]) + c3 * z[k]
            fourth[k] = (((fourth[k] + d0 * w[k]) + d1 * x[k]) + d2 * y[k]) + d3 * z[k]


@compiled
def multiply_row(left: Any, right: Any, row: int, column: int, total: Any) -> None:
    """Write the product in one row and in columns from `column` on to `total` [columns]."""
    count = total.size
    for k in range(count):
        total[k] = 0
    for rank in range(left.shape[1]):
        factor, x = left[row, rank], right[rank, column : column + count]
        for k in range(count):
            total[k] += factor * x[k]


@compiled
def add_rows(left: Any, right: Any, factor: Any, row: int, rows: int, out: Any) -> None:
    """Add f · left · right in whole rows [row, row + rows) to `out`, their elements; `rows` is a multiple of 4."""
    width = right.shape[1]
    room = np.empty((4, COLUMNS), out.dtype)
    for column in range(0, width, COLUMNS):
        count = min(COLUMNS, width - column)
        for first in range(0, rows, 4):
            multiply_rows(left, right, row + first, column, count, room)
            for number in range(4):
                begin = (first + number) * width + column
                result, own = out[begin : begin + count], room[number]
                for k in range(count):
                    result[k] += factor * own[k]


@compiled
def add_product(left: Any, right: Any, factor: Any, start: int, out: Any) -> None:
    """Add f · left · right to `out`, the elements of a matrix from number `start` on; the rank is a multiple of 4."""
    width, end = right.shape[1], start + out.size
    total = np.empty(COLUMNS, out.dtype)
    place = start
    while place < end:
        row, column = place // width, place % width
        rows = (end - place) // width // 4 * 4 if column == 0 else 0
        if rows:
            add_rows(left, right, factor, row, rows, out[place - start : place - start + rows * width])
            place += rows * width
            continue
        count = min(COLUMNS, width - column, end - place)
        multiply_row(left, right, row, column, total[:count])
        result = out[place - start : place - start + count]
        for k in range(count):
            result[k] += factor * total[k]
        place += count
