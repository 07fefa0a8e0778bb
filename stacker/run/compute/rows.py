"""Assembles matrices: fills tiles with rows of several sources, and joins columns of donors' files into whole rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stacker.core.plan.tasks import ColumnSource, CopyColumns
from stacker.core.values.expression import Expression, Rows
from stacker.core.values.matrix_parts import RowRun
from stacker.run.work.sources import OpenFiles

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Backend

ReadElements = Callable[[Expression, int, int], "Array"]
"""A function of (source, start, count) that returns elements [start, start + count) of the source.

The returned array is valid until the next call.
"""


def gather_rows(rows: Rows, start: int, tile: Array, backend: Backend, take: ReadElements) -> Array:
    """Fill `tile` with elements of a matrix whose rows come from several sources, and return it.

    The first element is element `start` of the matrix; rows without a source become 0. `take` computes elements of a
    source.
    """
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
    """Yield the runs (consecutive rows taken from one source) that fill elements in [start, end) of the matrix.

    Runs must be sorted by their first row, and two runs must fill either exactly the same rows or no common row.
    """
    at = bisect_right(rows.runs, start, key=lambda run: (run.to + run.count) * rows.width)
    while at < len(rows.runs) and rows.runs[at].to * rows.width < end:
        yield rows.runs[at]
        at += 1


BUFFER_BYTES = 1 << 20
"""How many bytes of output rows are joined at once; a row longer than this is joined alone."""
_SPARSE = 8
"""Columns narrower than 1/_SPARSE of a donor's row are read row by row.

Wider columns are read together with the bytes between them.
"""


def join_columns(columns: CopyColumns, sources: OpenFiles) -> Iterator[tuple[int, memoryview]]:
    """Read columns of donors' files and join them into rows; yields pairs (offset in the shard, bytes to write there).

    The bytes of a pair are overwritten when the next pair is requested.
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
    """Yield (start, number of bytes) of each byte range of an output row that `columns` fill without a gap.

    Columns next to each other are joined into one range.
    """
    begin, end = 0, 0
    for source in columns:
        if source.to != end:
            yield begin, end - begin
            begin = source.to
        end = source.to + source.nbytes
    yield begin, end - begin


def _read_rows(source: ColumnSource, first: int, rows: int, row: int, buffer: memoryview, sources: OpenFiles) -> None:
    """Read the columns of one source for output rows [first, first + rows) into a buffer that starts at row `first`.

    `row` is the length of an output row in bytes. A source without a file is not read, so that its columns stay zero.
    """
    if source.file is None:
        return
    offset, nbytes = source.source + first * source.stride, source.nbytes
    places = range(source.to, source.to + rows * row, row)
    with sources.lease(source.file) as donor:
        if nbytes * _SPARSE < source.stride:
            for number, place in enumerate(places):
                donor.read_into(buffer[place : place + nbytes], offset + number * source.stride)
            return
        content = memoryview(bytearray((rows - 1) * source.stride + nbytes))
        donor.read_into(content, offset)
    for number, place in enumerate(places):
        begin = number * source.stride
        buffer[place : place + nbytes] = content[begin : begin + nbytes]
