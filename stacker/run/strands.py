"""Rows woven of columns from several files: a few at a time, read as they lie and put together here."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.core.tasks import Strand, Weave
from stacker.io.copies import read_into
from stacker.run.sources import Sources

_BLOCK = 1 << 20
"""Bytes of rows that are put together at once, or one row where it is longer."""
_SPARSE = 8
"""Columns that take less than one in so many of their file's bytes are read one by one."""


def woven(weave: Weave, sources: Sources) -> Iterator[tuple[int, memoryview]]:
    """The bytes of a task with their places in the shard, in runs as long as its strands let them be.

    What is given lies in memory that the next use of the iterator overwrites.
    """
    spans = list(_spans(weave.strands))
    length = spans[-1][0] + spans[-1][1]
    block = memoryview(bytearray((max(_BLOCK // weave.row, 1) - 1) * weave.row + length))
    whole = len(spans) == 1 and length == weave.row
    for first in range(0, weave.rows, max(_BLOCK // weave.row, 1)):
        rows = min(max(_BLOCK // weave.row, 1), weave.rows - first)
        for strand in weave.strands:
            _lay(strand, first, rows, weave.row, block, sources)
        if whole:
            yield weave.offset + first * weave.row, block[: rows * weave.row]
            continue
        for row in range(rows):
            for to, nbytes in spans:
                begin = row * weave.row + to
                yield weave.offset + first * weave.row + begin, block[begin : begin + nbytes]


def _spans(strands: tuple[Strand, ...]) -> Iterator[tuple[int, int]]:
    """Where strands lie side by side, they are one run of bytes: its place in the row and its length."""
    begin, end = 0, 0
    for strand in strands:
        if strand.to != end:
            yield begin, end - begin
            begin = strand.to
        end = strand.to + strand.nbytes
    yield begin, end - begin


def _lay(strand: Strand, first: int, rows: int, row: int, block: memoryview, sources: Sources) -> None:
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
