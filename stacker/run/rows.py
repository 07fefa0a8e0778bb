"""A table put together from rows of others, a stretch at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stacker.core.expression import Expression, RowRun, Rows

if TYPE_CHECKING:
    from stacker.arithmetic.model import Arithmetic, Array

Take = Callable[[Expression, int, int], "Array"]
"""Elements of a source: from `start` on, `count` of them; they lie where they are until it is called again."""


def gather(rows: Rows, start: int, tile: Array, on: Arithmetic, take: Take) -> Array:
    """Fill a tile with the elements of a table of rows from `start` on: zeros where no run puts anything."""
    on.fill(tile, 0.0)
    end = start + len(tile)
    for run in _reaching(rows, start, end):
        first, last = run.to * rows.width, (run.to + run.count) * rows.width
        low, high = max(start, first), min(end, last)
        values = take(rows.of[run.source], run.start * rows.width + low - first, high - low)
        home = tile[low - start : high - start]
        if run.factor == 1.0:
            on.convert(home, values)
        else:
            on.add(home, values, run.factor)
    return tile


def _reaching(rows: Rows, start: int, end: int) -> Iterator[RowRun]:
    """The runs with elements in [start, end); their ends grow as their beginnings do."""
    at = bisect_right(rows.runs, start, key=lambda run: (run.to + run.count) * rows.width)
    while at < len(rows.runs) and rows.runs[at].to * rows.width < end:
        yield rows.runs[at]
        at += 1
