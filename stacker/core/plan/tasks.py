"""What executors carry out: bytes to copy, columns to copy, tensors to compute, and stretches that stay zero.

Every task owns some bytes of one shard, so tasks may be done in any order and by any number of threads. A task holds
the places of its donors' bytes; executors need nothing else of the donors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import Expression, find_needed_tensors
from stacker.tensors import Dtype, TensorRef


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """Where a donor tensor is stored: elements of `dtype` in `file`, starting at byte `offset`."""

    file: DonorFile
    offset: int
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Task:
    """Fills bytes [offset, offset + nbytes) of shard number `shard`."""

    shard: int
    offset: int
    nbytes: int

    @property
    def id(self) -> str:
        """A name that is unique within a plan and the same in every run of it; the journal records tasks by it."""
        return f"{self.shard}@{self.offset}+{self.nbytes}"


@dataclass(frozen=True, slots=True)
class CopyRun(Task):
    """Bytes copied unchanged from a donor's file, starting at byte offset `source`."""

    file: DonorFile
    source: int


@dataclass(frozen=True, slots=True)
class Zeros(Task):
    """Zero bytes: nothing has to be written, since a new file reads as zeros."""


@dataclass(frozen=True, slots=True)
class Compute(Task):
    """A tensor computed from donor tensors and rounded once, at the end, to `dtype`.

    `row` is the length of its last dimension, or 0 where rows do not matter. With a `stride` it is a block of columns
    of a larger tensor: `row` elements in every `stride` bytes of the shard.
    """

    expression: Expression
    dtype: Dtype
    places: Mapping[TensorRef, TensorBytes] = field(repr=False, hash=False)
    row: int = 0
    stride: int = 0

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.nbytes * 8 // self.dtype.bits

    @property
    def wide(self) -> bool:
        """Whether to compute in fp64, because a source or the result is fp64; everything else is computed in fp32."""
        return Dtype.F64 in (self.dtype, *(self.places[ref].dtype for ref in find_needed_tensors(self.expression)))

    def spans(self, begin: int, nbytes: int) -> Iterator[tuple[int, int, int]]:
        """Where bytes [begin, begin + nbytes) of the tensor go: (start in the tensor, offset in the shard, length)."""
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
    """The same columns of every row: bytes [to, to + nbytes) of an output row.

    They are read from the donor's file, starting at byte `source`, once every `stride` bytes; without a file, zeros.
    """

    to: int
    nbytes: int
    file: DonorFile | None = None
    source: int = 0
    stride: int = 0


@dataclass(frozen=True, slots=True)
class CopyColumns(Task):
    """`rows` rows of `row` bytes each, some columns of which are copied from donors' files.

    The other columns belong to other tasks. `offset` is that of the first copied column, `nbytes` counts copied bytes.
    """

    row: int
    rows: int
    columns: tuple[ColumnSource, ...]
