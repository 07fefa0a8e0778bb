"""Compiled functions that add products of thin matrices to parts of a large matrix.

An element of a product is summed in the order of the rank, whatever part of the matrix is computed with it, so that
all CPUs compute identical bits, in tiles of any size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.arithmetic.register_blocks import COLUMNS, ROWS, multiply_block


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
    """Add f · left · right in whole rows [row, row + rows) to `out`, their elements; `rows` is a multiple of ROWS.

    Some columns of `right` at a time are copied to a panel, so that they stay in the cache beside each other.
    """
    width = right.shape[1]
    panel = np.zeros((right.shape[0], COLUMNS), out.dtype)
    total = np.empty((ROWS, COLUMNS), out.dtype)
    for column in range(0, width, COLUMNS):
        count = min(COLUMNS, width - column)
        for rank in range(right.shape[0]):
            panel[rank, :count] = right[rank, column : column + count]
        for first in range(0, rows, ROWS):
            multiply_block(left, row + first, panel, total)
            for number in range(ROWS):
                begin = (first + number) * width + column
                result, own = out[begin : begin + count], total[number]
                for k in range(count):
                    result[k] += factor * own[k]


@compiled
def add_product(left: Any, right: Any, factor: Any, start: int, out: Any) -> None:
    """Add f · left · right to `out`, the elements of a matrix from number `start` on."""
    width, end = right.shape[1], start + out.size
    total = np.empty(COLUMNS, out.dtype)
    place = start
    while place < end:
        row, column = place // width, place % width
        rows = (end - place) // width // ROWS * ROWS if column == 0 else 0
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
