"""The tasks that executors carry out: copy bytes, copy columns, compute a tensor, or leave bytes zero.

No two tasks write the same byte, so tasks may be done in any order and by any number of threads. A task says where its
donors' bytes are stored; executors need no other information about donors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stacker.core.values.donor import DonorFile
from stacker.core.values.expression import Expression
from stacker.core.values.expression_parts import find_needed_tensors
from stacker.tensors import Dtype, TensorRef


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """Where a donor tensor is stored: in `nbytes` bytes of `file` from byte `offset`, as elements of type `dtype`."""

    file: DonorFile
    offset: int
    dtype: Dtype
    nbytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work that fills bytes [offset, offset + nbytes) of the shard with number `shard`."""

    shard: int
    offset: int
    nbytes: int

    @property
    def id(self) -> str:
        """A name that is unique within a plan and equal in every run of it; the journal lists finished tasks by it."""
        return f"{self.shard}@{self.offset}+{self.nbytes}"

    def spans(self, begin: int, nbytes: int) -> Iterator[tuple[int, int, int]]:
        """Yield the places in the shard where bytes [begin, begin + nbytes) of the result are written.

        Each place is (start in the result, offset in the shard, number of bytes).
        """
        yield begin, self.offset + begin, nbytes


@dataclass(frozen=True, slots=True)
class CopyRun(Task):
    """Copies bytes unchanged from the donor file `file`, starting at byte offset `source` of that file."""

    file: DonorFile
    source: int


@dataclass(frozen=True, slots=True)
class Zeros(Task):
    """Leaves bytes zero: nothing has to be written, since a new file reads as zeros."""


@dataclass(frozen=True, slots=True)
class Compute(Task):
    """Computes a tensor from donor tensors and rounds it once, at the end, to `dtype`.

    `places` says where the donor tensors are stored, and `row` is the number of elements in a row of the result (0 if
    rows do not matter). If `stride` is not 0, the result is a block of columns of a larger tensor, and its rows start
    `stride` bytes apart in the shard.
    """

    expression: Expression
    dtype: Dtype
    places: Mapping[TensorRef, TensorBytes] = field(repr=False, hash=False)
    row: int = 0
    stride: int = 0

    @property
    def elements(self) -> int:
        """How many elements the task computes."""
        return self.nbytes * self.dtype.block // self.dtype.size

    @property
    def wide(self) -> bool:
        """Whether to compute in fp64 instead of fp32, because a source or the result is fp64."""
        return Dtype.F64 in (self.dtype, *(self.places[ref].dtype for ref in find_needed_tensors(self.expression)))

    def spans(self, begin: int, nbytes: int) -> Iterator[tuple[int, int, int]]:
        if not self.stride:
            yield begin, self.offset + begin, nbytes
            return
        width, end = self.dtype.nbytes(self.row), begin + nbytes
        row, column = divmod(begin, width)
        place = self.offset + row * self.stride
        for start in range(begin - column, end, width):
            low, high = max(start, begin), min(start + width, end)
            yield low, place + low - start, high - low
            place += self.stride


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Where bytes [to, to + nbytes) of every output row come from.

    The bytes of the first row start at byte `source` of the donor's `file`, and those of each following row start
    `stride` bytes later. If `file` is None, the bytes are zeros.
    """

    to: int
    nbytes: int
    file: DonorFile | None = None
    source: int = 0
    stride: int = 0


@dataclass(frozen=True, slots=True)
class CopyColumns(Task):
    """Copies some columns of a matrix from donors' files; the matrix has `rows` rows, each `row` bytes long.

    Other tasks write the remaining columns. `offset` is the shard offset of the first copied byte, and `nbytes` counts
    only the copied bytes.
    """

    row: int
    rows: int
    columns: tuple[ColumnSource, ...]


def find_donor_files(task: Task) -> tuple[DonorFile, ...]:
    """The donors' files that a task reads, each once."""
    match task:
        case CopyRun():
            return (task.file,)
        case CopyColumns():
            files = (source.file for source in task.columns if source.file)
        case Compute():
            files = (task.places[ref].file for ref in find_needed_tensors(task.expression))
        case _:
            return ()
    return tuple(dict.fromkeys(files))
