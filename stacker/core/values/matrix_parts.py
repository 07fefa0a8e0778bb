"""Describes which rows and elements of matrices an expression uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowRun:
    """Rows [start, start + count) of source number `source`, which become rows [to, to + count) of the result.

    The rows are multiplied by `factor`.
    """

    to: int
    source: int
    start: int
    count: int
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Strides:
    """A stored tensor holds a matrix of each block: element (b, i, j) has number start + b·block + i·row + j·column."""

    start: int
    block: int
    row: int
    column: int
