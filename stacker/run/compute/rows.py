"""A table put together from rows of others, a stretch at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stacker.core.values.expression import Expression, RowRun, Rows

if TYPE_CHECKING:
    from stacker.arithmetic.interface import Arithmetic, Array


from stacker.core.plan.tasks import ColumnSource, CopyColumns
from stacker.io.disk.copies import read_into
from stacker.run.work.sources import OpenFiles

ReadElements = Callable[[Expression, int, int], "Array"]
"""Elements of a source: from `start` on, `count` of them; they lie where they are until it is called again."""


def gather_rows(rows: Rows, start: int, tile: Array, on: Arithmetic, take: ReadElements) -> Array:
    """Fill a tile with the elements of a table of rows from `start` on: zeros where no run puts anything."""
    on.fill(tile, 0.0)
    end = start + len(tile)
    for run in _find_overlapping(rows, start, end):
        first, last = run.to * rows.width, (run.to + run.count) * rows.width
        low, high = max(start, first), min(end, last)
        values = take(rows.of[run.source], run.start * rows.width + low - first, high - low)
        home = tile[low - start : high - start]
        if run.factor == 1.0:
            on.convert(home, values)
        else:
            on.add(home, values, run.factor)
    return tile


def _find_overlapping(rows: Rows, start: int, end: int) -> Iterator[RowRun]:
    """The runs with elements in [start, end); their ends grow as their beginnings do."""
    at = bisect_right(rows.runs, start, key=lambda run: (run.to + run.count) * rows.width)
    while at < len(rows.runs) and rows.runs[at].to * rows.width < end:
        yield rows.runs[at]
        at += 1


BUFFER_BYTES = 1 << 20
"""Bytes of rows that are put together at once, or one row where it is longer."""
_SPARSE = 8
"""Columns that take less than one in so many of their file's bytes are read one by one."""


def join_columns(weave: CopyColumns, sources: OpenFiles) -> Iterator[tuple[int, memoryview]]:
    """The bytes of a task with their places in the shard, in runs as long as its strands let them be.

    What is given lies in memory that the next use of the iterator overwrites.
    """
    spans = list(_find_runs(weave.strands))
    length = spans[-1][0] + spans[-1][1]
    block = memoryview(bytearray((max(BUFFER_BYTES // weave.row, 1) - 1) * weave.row + length))
    whole = len(spans) == 1 and length == weave.row
    for first in range(0, weave.rows, max(BUFFER_BYTES // weave.row, 1)):
        rows = min(max(BUFFER_BYTES // weave.row, 1), weave.rows - first)
        for strand in weave.strands:
            _place_columns(strand, first, rows, weave.row, block, sources)
        if whole:
            yield weave.offset + first * weave.row, block[: rows * weave.row]
            continue
        for row in range(rows):
            for to, nbytes in spans:
                begin = row * weave.row + to
                yield weave.offset + first * weave.row + begin, block[begin : begin + nbytes]


def _find_runs(strands: tuple[ColumnSource, ...]) -> Iterator[tuple[int, int]]:
    """Where strands lie side by side, they are one run of bytes: its place in the row and its length."""
    begin, end = 0, 0
    for strand in strands:
        if strand.to != end:
            yield begin, end - begin
            begin = strand.to
        end = strand.to + strand.nbytes
    yield begin, end - begin


def _place_columns(
    strand: ColumnSource, first: int, rows: int, row: int, block: memoryview, sources: OpenFiles
) -> None:
    """Put a strand's bytes of some rows where they belong in the block; what has no file is zero there already."""
    if strand.file is None:
        return
    source = strand.source + first * strand.stride
    with sources.lease(strand.file) as fd:
        if strand.nbytes * _SPARSE < strand.stride:
            for number in range(rows):
                begin = number * row + strand.to
                read_into(fd, block[begin : begin + strand.nbytes], source + number * strand.stride)
            return
        held = memoryview(bytearray((rows - 1) * strand.stride + strand.nbytes))
        read_into(fd, held, source)
    for number in range(rows):
        begin, there = number * row + strand.to, number * strand.stride
        block[begin : begin + strand.nbytes] = held[there : there + strand.nbytes]
