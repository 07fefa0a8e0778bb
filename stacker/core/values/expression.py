"""How an output tensor is computed from donor tensors: seven kinds of expression, nested where stacks are nested.

Every kind has `children()` and `rebuild(children)`, so that code that treats all kinds alike need not list them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from stacker.spec.language.stack_spec import Value
from stacker.tensors import Dtype, TensorRef


class _Leaf:
    """An expression that reads one donor tensor."""

    __slots__ = ()

    def children(self) -> tuple[Expression, ...]:
        """The expressions that this one is computed from: none."""
        return ()

    def rebuild(self, children: Sequence[Expression]) -> Self:
        """The same expression; `children` is empty."""
        del children
        return self


@dataclass(frozen=True, slots=True)
class Copy(_Leaf):
    """A donor tensor, unchanged."""

    tensor: TensorRef


@dataclass(frozen=True, slots=True)
class Columns(_Leaf):
    """Columns [start, start + count) of a donor tensor viewed as a matrix with rows of `width` elements.

    Consecutive rows are selected by taking the whole tensor as one row of `width` elements.
    """

    tensor: TensorRef
    width: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Cast:
    """Conversion to another element type, rounding to nearest even."""

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
    """Multiplication by `factor`; a factor of 0 gives zeros even where the tensor holds NaN or infinity."""

    of: Expression
    factor: float

    def children(self) -> tuple[Expression, ...]:
        """The expression that is multiplied."""
        return (self.of,)

    def rebuild(self, children: Sequence[Expression]) -> Scale:
        """Another expression times the same factor."""
        (of,) = children
        return Scale(of, self.factor)


@dataclass(frozen=True, slots=True)
class Blend:
    """Several sources of one shape combined by an op.

    `parameters` are those of the op, sorted by name; `per_source` those of each source, in the order of `of`. `base` is
    the reference tensor of task-vector ops. `seed` is the tensor's name, for ops that draw random numbers.
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
        """The same op over other sources, and another base if this blend has one."""
        count = len(self.of)
        return replace(self, of=tuple(children[:count]), base=children[count] if self.base else None)

    def source_values(self) -> list[dict[str, Value]]:
        """The parameters of each source by name."""
        return [dict(values) for values in self.per_source] or [{} for _ in self.of]


@dataclass(frozen=True, slots=True)
class RowRun:
    """Rows [start, start + count) of source number `source`, times `factor`, as rows [to, to + count) of the result."""

    to: int
    source: int
    start: int
    count: int
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix assembled from rows of its sources, each `width` elements long.

    Rows that no run fills are 0; runs that fill the same rows are added. `runs` are sorted by `to`, and two runs fill
    either the same rows or none in common. No source contains a blend.
    """

    of: tuple[Expression, ...]
    width: int
    runs: tuple[RowRun, ...] = field(repr=False)

    def children(self) -> tuple[Expression, ...]:
        """The matrices that rows are taken from."""
        return self.of

    def rebuild(self, children: Sequence[Expression]) -> Rows:
        """The same rows of other matrices."""
        return replace(self, of=tuple(children))


@dataclass(frozen=True, slots=True)
class Concat:
    """Matrices with the same number of rows, concatenated along their columns; `widths` are their row lengths.

    It is never inside another expression: casts and factors are applied to its parts.
    """

    of: tuple[Expression, ...]
    widths: tuple[int, ...]

    def children(self) -> tuple[Expression, ...]:
        """The parts, from left to right."""
        return self.of

    def rebuild(self, children: Sequence[Expression]) -> Concat:
        """Other parts of the same widths."""
        return replace(self, of=tuple(children))

    def parts(self) -> Iterator[tuple[int, int, Expression]]:
        """The first column, the width and the expression of each part."""
        start = 0
        for part, width in zip(self.of, self.widths, strict=True):
            yield start, width, part
            start += width


Expression = Copy | Columns | Cast | Scale | Blend | Rows | Concat


def is_zero(expression: Expression) -> bool:
    """Whether every element is 0 whatever the donors hold, so that nothing has to be read."""
    if isinstance(expression, Scale) and expression.factor == 0:
        return True
    return isinstance(expression, Cast | Scale | Concat) and all(map(is_zero, expression.children()))


def find_tensor_refs(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors in an expression from left to right, repeated as often as they occur."""
    if isinstance(expression, Copy | Columns):
        yield expression.tensor
    for child in expression.children():
        yield from find_tensor_refs(child)


def find_needed_leaves(expression: Expression) -> Iterator[Copy | Columns]:
    """The leaves that have to be read: all but those that a factor of 0 cancels."""
    if isinstance(expression, Copy | Columns):
        yield expression
    if not is_zero(expression):
        for child in expression.children():
            yield from find_needed_leaves(child)


def find_needed_tensors(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors that have to be read, repeated as often as they are."""
    return (leaf.tensor for leaf in find_needed_leaves(expression))


def find_blends(expression: Expression) -> Iterator[Blend]:
    """The blends that have to be computed, inner ones before those that use them."""
    if not is_zero(expression):
        for child in expression.children():
            yield from find_blends(child)
        if isinstance(expression, Blend):
            yield expression


def rename_donors(expression: Expression, prefix: str) -> Expression:
    """The same expression over donors called `prefix/name` instead of `name`."""
    if isinstance(expression, Copy | Columns):
        tensor = expression.tensor
        return replace(expression, tensor=TensorRef(f"{prefix}/{tensor.donor}", tensor.name))
    return expression.rebuild([rename_donors(child, prefix) for child in expression.children()])


def take_columns(expression: Expression, width: int, start: int, count: int) -> Expression:
    """Columns [start, start + count) of a matrix with rows of `width` elements; ValueError if it is computed whole."""
    if isinstance(expression, Copy):
        return Columns(expression.tensor, width, start, count)
    if isinstance(expression, Columns):
        return replace(expression, start=expression.start + start, count=count)
    if isinstance(expression, Cast | Scale):
        return expression.rebuild([take_columns(expression.of, width, start, count)])
    if isinstance(expression, Concat):
        for begin, size, part in expression.parts():
            if (begin, size) == (start, count):
                return part
            if begin <= start and start + count <= begin + size:
                return take_columns(part, size, start - begin, count)
    raise ValueError(f"the columns of one layer cannot be separated in {expression}")


def concatenate(parts: Sequence[tuple[Expression, int]]) -> Expression:
    """Concatenate matrices, given with their widths; adjacent columns of one tensor are merged into one run."""
    joined: list[tuple[Expression, int]] = []
    for part, width in parts:
        last = joined[-1][0] if joined else None
        if isinstance(last, Columns) and isinstance(part, Columns) and _are_adjacent(last, part):
            joined[-1] = replace(last, count=last.count + part.count), joined[-1][1] + width
        else:
            joined.append((part, width))
    if len(joined) == 1 and isinstance(joined[0][0], Columns) and joined[0][0].count == joined[0][0].width:
        return Copy(joined[0][0].tensor)
    return Concat(tuple(part for part, _ in joined), tuple(width for _, width in joined))


def _are_adjacent(left: Columns, right: Columns) -> bool:
    same = (left.tensor, left.width) == (right.tensor, right.width)
    return same and left.start + left.count == right.start
