"""Joins parts of tables: rows of several sources into a tile, columns of several donor files into whole rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stacker.core.plan.tasks import ColumnSource, CopyColumns
from stacker.core.values.expression import Expression, RowRun, Rows
from stacker.io.disk.copies import read_into
from stacker.run.work.sources import OpenFiles

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Backend

ReadElements = Callable[[Expression, int, int], "Array"]
"""Returns `count` elements of a source from `start` on, valid until the next call."""


def gather_rows(rows: Rows, start: int, tile: Array, backend: Backend, take: ReadElements) -> Array:
    """Fill `tile` with a table's elements from `start` on, read by `take`; rows that no run covers are zeros."""
    backend.fill(tile, 0.0)
    end = start + len(tile)
    for run in _find_overlapping(rows, start, end):
        first, last = run.to * rows.width, (run.to + run.count) * rows.width
        low, high = max(start, first), min(end, last)
        values = take(rows.of[run.source], run.start * rows.width + low - first, high - low)
        home = tile[low - start : high - start]
        if run.factor == 1.0:
            backend.convert(home, values)
        else:
            backend.add(home, values, run.factor)
    return tile


def _find_overlapping(rows: Rows, start: int, end: int) -> Iterator[RowRun]:
    """The runs with elements in [start, end). Runs are sorted and do not overlap."""
    at = bisect_right(rows.runs, start, key=lambda run: (run.to + run.count) * rows.width)
    while at < len(rows.runs) and rows.runs[at].to * rows.width < end:
        yield rows.runs[at]
        at += 1


BUFFER_BYTES = 1 << 20
"""Bytes of rows that are joined at once, or one row where it is longer."""
_SPARSE = 8
"""Columns that are less than one in so many bytes of a donor's row are read row by row, not with what is between."""


def join_columns(columns: CopyColumns, sources: OpenFiles) -> Iterator[tuple[int, memoryview]]:
    """Read columns from donors' files and join them to rows: yields offsets in the shard with the bytes to write there.

    The next step of the iterator overwrites the bytes.
    """
    runs = list(_find_runs(columns.columns))
    length = runs[-1][0] + runs[-1][1]
    most = max(BUFFER_BYTES // columns.row, 1)
    buffer = memoryview(bytearray((most - 1) * columns.row + length))
    whole = len(runs) == 1 and length == columns.row
    for first in range(0, columns.rows, most):
        rows = min(most, columns.rows - first)
        for source in columns.columns:
            _read_rows(source, first, rows, columns.row, buffer, sources)
        offset = columns.offset + first * columns.row
        if whole:
            yield offset, buffer[: rows * columns.row]
            continue
        for begin in range(0, rows * columns.row, columns.row):
            for to, nbytes in runs:
                yield offset + begin + to, buffer[begin + to : begin + to + nbytes]


def _find_runs(columns: tuple[ColumnSource, ...]) -> Iterator[tuple[int, int]]:
    """Adjacent columns joined, as (first byte in the row, number of bytes)."""
    begin, end = 0, 0
    for source in columns:
        if source.to != end:
            yield begin, end - begin
            begin = source.to
        end = source.to + source.nbytes
    yield begin, end - begin


def _read_rows(source: ColumnSource, first: int, rows: int, row: int, buffer: memoryview, sources: OpenFiles) -> None:
    """Read one column source of some rows (`row` bytes each) into the buffer; without a file it stays zero."""
    if source.file is None:
        return
    offset, nbytes = source.source + first * source.stride, source.nbytes
    places = range(source.to, source.to + rows * row, row)
    with sources.lease(source.file) as fd:
        if nbytes * _SPARSE < source.stride:
            for number, place in enumerate(places):
                read_into(fd, buffer[place : place + nbytes], offset + number * source.stride)
            return
        content = memoryview(bytearray((rows - 1) * source.stride + nbytes))
        read_into(fd, content, offset)
    for number, place in enumerate(places):
        begin = number * source.stride
        buffer[place : place + nbytes] = content[begin : begin + nbytes]
