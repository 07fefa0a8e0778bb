"""What an executor does: runs of bytes to move, rows to weave, tensors to compute, stretches that stay zero.

Every task owns some bytes of one output file, so tasks may be done in any order, by any number of hands. Where the
donors' bytes lie is in the tasks; an executor needs nothing else of the donors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import Expression, needed
from stacker.tensors import Dtype, TensorRef


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """A donor tensor's bytes: from `offset` on in a file, elements of `dtype`."""

    file: DonorFile
    offset: int
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Task:
    """Bytes [offset, offset + nbytes) of shard number `shard`."""

    shard: int
    offset: int
    nbytes: int

    @property
    def id(self) -> str:
        """The same in every run of the same plan, and of no other task."""
        return f"{self.shard}@{self.offset}+{self.nbytes}"


@dataclass(frozen=True, slots=True)
class CopyRun(Task):
    """Bytes that lie in the donor's file as they will lie in the shard, there from `source` on."""

    file: DonorFile
    source: int


@dataclass(frozen=True, slots=True)
class Zeros(Task):
    """Bytes that are zero, as those of a new file are."""


@dataclass(frozen=True, slots=True)
class Compute(Task):
    """One tensor that takes arithmetic: rounded once, at the end, to the `dtype` of the output.

    `row` is the length of its last dimension, or 0 where the rows do not matter. With a `stride`, it is columns of a
    larger tensor: `row` elements in every `stride` bytes of the shard.
    """

    expression: Expression
    dtype: Dtype
    places: Mapping[TensorRef, TensorBytes] = field(repr=False, hash=False)
    row: int = 0
    stride: int = 0

    @property
    def elements(self) -> int:
        return self.nbytes * 8 // self.dtype.bits

    @property
    def wide(self) -> bool:
        """Whether the arithmetic is fp64: a source or the result is. All other arithmetic is fp32."""
        return Dtype.F64 in (self.dtype, *(self.places[ref].dtype for ref in needed(self.expression)))

    def spans(self, begin: int, nbytes: int) -> Iterator[tuple[int, int, int]]:
        """Where the tensor's bytes [begin, begin + nbytes) lie: runs, from where, to where in the shard, how long."""
        if not self.stride:
            yield begin, self.offset + begin, nbytes
            return
        width, end = self.row * self.dtype.bits // 8, begin + nbytes
        row, column = divmod(begin, width)
        place = self.offset + row * self.stride
        for start in range(begin - column, end, width):
            low, high = max(start, begin), min(start + width, end)
            yield low, place + low - start, high - low
            place += self.stride


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """The same columns of every row: `nbytes` from byte `to` of the row, in the donor's file from `source` on.

    There they come in every `stride` bytes. Without a file they are zeros.
    """

    to: int
    nbytes: int
    file: DonorFile | None = None
    source: int = 0
    stride: int = 0


@dataclass(frozen=True, slots=True)
class CopyColumns(Task):
    """`rows` rows, `row` bytes each, woven of columns that lie in donors' files; all other columns are other tasks'.

    `offset` is that of the first column, `nbytes` counts what the strands hold.
    """

    row: int
    rows: int
    strands: tuple[ColumnSource, ...]
