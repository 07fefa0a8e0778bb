"""Describes how an output tensor is computed from donor tensors: an expression of one of ten kinds, often nested.

Every kind has `children()` and `rebuild(children)`, so that code can handle all kinds without listing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from stacker.core.values.matrix_parts import RowRun, Strides
from stacker.spec.language.stack_spec import Value
from stacker.tensors import Dtype, TensorRef


class _Leaf:
    """An expression that reads one donor tensor."""

    __slots__ = ()

    def children(self) -> tuple[Expression, ...]:
        """The expressions that this one is computed from: none."""
        return ()

    def rebuild(self, children: Sequence[Expression]) -> Self:
        """The expression itself, because it has no children."""
        del children
        return self


@dataclass(frozen=True, slots=True)
class Copy(_Leaf):
    """A donor tensor, unchanged."""

    tensor: TensorRef


@dataclass(frozen=True, slots=True)
class Columns(_Leaf):
    """Columns [start, start + count) of a donor tensor viewed as a matrix with rows of `width` elements.

    To select consecutive rows, the whole tensor is viewed as a single row of `width` elements.
    """

    tensor: TensorRef
    width: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """The numbers of a quantised weight, which donors store in several tensors: `of`, in the order of the scheme.

    `shape` is (blocks, rows of a block, row length), `scheme` and `settings` say how the numbers are stored (see
    `stacker.formats.quantized_weights`), and `kept` is how many bytes are kept in memory to compute a tile.
    """

    of: tuple[Copy, ...]
    scheme: str
    shape: tuple[int, int, int]
    settings: tuple[int, ...]
    kept: int

    def children(self) -> tuple[Expression, ...]:
        """The stored tensors."""
        return self.of

    def rebuild(self, children: Sequence[Expression]) -> Decoded:
        """A weight that is stored in the same way in other tensors."""
        assert all(isinstance(child, Copy) for child in children)
        return replace(self, of=tuple(child for child in children if isinstance(child, Copy)))


@dataclass(frozen=True, slots=True)
class Cast:
    """An expression converted to `dtype`, rounding to nearest even."""

    of: Expression
    dtype: Dtype

    def children(self) -> tuple[Expression, ...]:
        """The expression that is cast."""
        return (self.of,)

    def rebuild(self, children: Sequence[Expression]) -> Cast:
        """A cast of another expression to the same dtype."""
        (of,) = children
        return Cast(of, self.dtype)


@dataclass(frozen=True, slots=True)
class Scale:
    """An expression times `factor`; a factor of 0 results in zeros even where the tensor holds NaN or infinity.

    If the model adds a number to the tensor before it uses it, as to norm weights that count from 1, that number is
    `offset`, and the result is (expression + offset) · factor - offset.
    """

    of: Expression
    factor: float
    offset: float = 0.0

    def children(self) -> tuple[Expression, ...]:
        """The expression that is multiplied."""
        return (self.of,)

    def rebuild(self, children: Sequence[Expression]) -> Scale:
        """Another expression times the same factor."""
        (of,) = children
        return replace(self, of=of)


@dataclass(frozen=True, slots=True)
class Blend:
    """Several sources of equal shape, combined by an op.

    `parameters` are the op's own, sorted by name; `per_source` has the parameters of each source, in the order of `of`.
    `base` is the reference tensor of task-vector ops, and `seed`, the output tensor's name, seeds ops that draw random
    numbers.
    """

    op: str
    of: tuple[Expression, ...]
    parameters: tuple[tuple[str, Value], ...] = ()
    per_source: tuple[tuple[tuple[str, Value], ...], ...] = ()
    base: Expression | None = None
    seed: str = ""

    def children(self) -> tuple[Expression, ...]:
        """The sources, then the base if there is one."""
        return self.of if self.base is None else (*self.of, self.base)

    def rebuild(self, children: Sequence[Expression]) -> Blend:
        """The same op with other sources, and with another base if this blend has a base."""
        count = len(self.of)
        return replace(self, of=tuple(children[:count]), base=children[count] if self.base else None)

    def source_values(self) -> list[dict[str, Value]]:
        """For each source, its parameters by name."""
        return [dict(values) for values in self.per_source] or [{} for _ in self.of]


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix assembled from rows of its sources, each `width` elements long.

    Rows that no run fills are 0, and where several runs fill the same row, their rows are added. `runs` are sorted by
    `to`; two runs fill exactly the same rows or have no row in common; no source contains a blend.
    """

    of: tuple[Expression, ...]
    width: int
    runs: tuple[RowRun, ...] = field(repr=False)

    def children(self) -> tuple[Expression, ...]:
        """The matrices that rows are taken from."""
        return self.of

    def rebuild(self, children: Sequence[Expression]) -> Rows:
        """A matrix assembled in the same way from other sources."""
        return replace(self, of=tuple(children))


@dataclass(frozen=True, slots=True)
class Concat:
    """Matrices with the same number of rows, joined side by side; `widths` are their row lengths in elements.

    A Concat is never inside another expression: casts and factors are applied to its parts.
    """

    of: tuple[Expression, ...]
    widths: tuple[int, ...]

    def children(self) -> tuple[Expression, ...]:
        """The parts, from left to right."""
        return self.of

    def rebuild(self, children: Sequence[Expression]) -> Concat:
        """The concatenation of other parts that have the same widths."""
        return replace(self, of=tuple(children))

    def parts(self) -> Iterator[tuple[int, int, Expression]]:
        """Yield each part as (first column, width, expression)."""
        start = 0
        for part, width in zip(self.of, self.widths, strict=True):
            yield start, width, part
            start += width


@dataclass(frozen=True, slots=True)
class LowRank:
    """Blocks of matrices plus `factor` · left · right, where left has few columns and right as many rows.

    `shape` is (blocks, rows of a block, columns of left, row length), and `strides` say where the elements of left and
    of right are in their tensors.
    """

    of: Expression
    left: Copy
    right: Copy
    factor: float
    shape: tuple[int, int, int, int]
    strides: tuple[Strides, Strides]

    def children(self) -> tuple[Expression, ...]:
        """The matrices, then the two factors of the product."""
        return self.of, self.left, self.right

    def rebuild(self, children: Sequence[Expression]) -> LowRank:
        """The same sum with other tensors."""
        of, left, right = children
        assert isinstance(left, Copy)
        assert isinstance(right, Copy)
        return replace(self, of=of, left=left, right=right)


@dataclass(frozen=True, slots=True)
class Rescale:
    """A matrix of `rows` rows of `width` elements, each row (or each column, with `columns`) scaled to a given length.

    The lengths (Euclidean norms) are the elements of the tensor `lengths`.
    """

    of: Expression
    lengths: Copy
    rows: int
    width: int
    columns: bool = False

    def children(self) -> tuple[Expression, ...]:
        """The matrix, then the tensor of lengths."""
        return self.of, self.lengths

    def rebuild(self, children: Sequence[Expression]) -> Rescale:
        """Another matrix whose rows or columns get the same lengths, or those of another tensor."""
        of, lengths = children
        assert isinstance(lengths, Copy)
        return replace(self, of=of, lengths=lengths)


Expression = Copy | Columns | Decoded | Cast | Scale | Blend | Rows | Concat | LowRank | Rescale
