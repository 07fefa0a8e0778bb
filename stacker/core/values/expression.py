"""How one output tensor is made from donor tensors: a small closed language, nested where stacks are nested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from stacker.spec.language.stack_spec import Value
from stacker.tensors import Dtype, TensorRef


@dataclass(frozen=True, slots=True)
class Copy:
    """A donor tensor as it is."""

    tensor: TensorRef


@dataclass(frozen=True, slots=True)
class Cast:
    """Another element type, rounded to nearest even."""

    of: Expression
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Scale:
    """Every element times `factor`; zero gives zeros whatever was there, NaN and infinity too."""

    of: Expression
    factor: float


@dataclass(frozen=True, slots=True)
class Blend:
    """Sources of one shape through an op.

    `parameters` are the op's own, sorted by name; `weights` those of each source, in the sources' order; `base` the
    reference tensor of ops that have one. `seed` names the tensor for ops that draw at random.
    """

    op: str
    of: tuple[Expression, ...]
    parameters: tuple[tuple[str, Value], ...] = ()
    per_source: tuple[tuple[tuple[str, Value], ...], ...] = ()
    base: Expression | None = None
    seed: str = ""


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
    """A table of rows of others, each `width` elements; rows that no run gives are 0, what several give is added.

    `runs` are in the order of `to`; two of them give the same rows, or none in common. No source has a blend in it.
    """

    of: tuple[Expression, ...]
    width: int
    runs: tuple[RowRun, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns [start, start + count) of a donor tensor taken as rows of `width` elements; rows of it, where one is all.

    A leaf, as `Copy` is.
    """

    tensor: TensorRef
    width: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Concat:
    """Tables of as many rows side by side: a row of the result is `widths` elements of each, one after the other.

    Always outermost: what is done to the whole is done to each.
    """

    of: tuple[Expression, ...]
    widths: tuple[int, ...]

    def placed(self) -> Iterator[tuple[int, int, Expression]]:
        """Each table with its first column in the result and its width."""
        start = 0
        for part, width in zip(self.of, self.widths, strict=True):
            yield start, width, part
            start += width


Expression = Copy | Cast | Scale | Blend | Rows | Columns | Concat


def leaves(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors that an expression reads, each as often as it is read, left to right."""
    match expression:
        case Copy(tensor) | Columns(tensor):
            yield tensor
        case Cast(of) | Scale(of):
            yield from leaves(of)
        case Blend():
            for source in inputs(expression):
                yield from leaves(source)
        case Rows(of) | Concat(of):
            for source in of:
                yield from leaves(source)


def needed(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors whose values matter: the leaves, but for those that a factor of 0 makes away with."""
    return (leaf.tensor for leaf in needed_leaves(expression))


def needed_leaves(expression: Expression) -> Iterator[Copy | Columns]:
    """The same, with what is taken of each."""
    match expression:
        case Copy() | Columns():
            yield expression
        case Cast(of) | Scale(of):
            if not is_zero(expression):
                yield from needed_leaves(of)
        case Blend():
            for source in inputs(expression):
                yield from needed_leaves(source)
        case Rows(of) | Concat(of):
            for source in of:
                yield from needed_leaves(source)


def inputs(blend: Blend) -> tuple[Expression, ...]:
    """What a blend is made of: its sources, then its base."""
    return blend.of if blend.base is None else (*blend.of, blend.base)


def is_zero(expression: Expression) -> bool:
    """Whether every element is 0 whatever the donors hold, so that none of them need be read."""
    match expression:
        case Scale(of, factor):
            return factor == 0 or is_zero(of)
        case Cast(of):
            return is_zero(of)
        case Concat(of):
            return all(map(is_zero, of))
        case _:
            return False


def blends(expression: Expression) -> Iterator[Blend]:
    """The blends that have to be computed, inner ones first."""
    match expression:
        case Cast(of) | Scale(of):
            if not is_zero(expression):
                yield from blends(of)
        case Blend():
            for source in inputs(expression):
                yield from blends(source)
            yield expression
        case Concat(of):
            for source in of:
                yield from blends(source)


def columns_of(expression: Expression, width: int, start: int, count: int) -> Expression:
    """Columns [start, start + count) of a table with rows of `width` elements; ValueError where they cannot be told."""
    match expression:
        case Copy(tensor):
            return Columns(tensor, width, start, count)
        case Cast(of) | Scale(of):
            return replace(expression, of=columns_of(of, width, start, count))
        case Concat():
            for begin, each, part in expression.placed():
                if begin == start and each == count:
                    return part
                if begin <= start and start + count <= begin + each:
                    return _narrowed(part, start - begin, count)
    raise ValueError(f"a layer's columns cannot be told in {expression}")


def _narrowed(part: Expression, start: int, count: int) -> Expression:
    match part:
        case Columns():
            return replace(part, start=part.start + start, count=count)
        case Cast(of) | Scale(of):
            return replace(part, of=_narrowed(of, start, count))
        case _:
            raise ValueError(f"a layer's columns cannot be told in {part}")


def side_by_side(tables: Sequence[tuple[Expression, int]]) -> Expression:
    """Tables, with their widths, as one; columns that go on in one tensor are one run, and all of it is the tensor."""
    joined: list[tuple[Expression, int]] = []
    for table, width in tables:
        last = joined[-1][0] if joined else None
        if isinstance(last, Columns) and isinstance(table, Columns) and _goes_on(last, table):
            joined[-1] = replace(last, count=last.count + table.count), joined[-1][1] + width
        else:
            joined.append((table, width))
    if len(joined) == 1 and isinstance(joined[0][0], Columns) and joined[0][0].count == joined[0][0].width:
        return Copy(joined[0][0].tensor)
    return Concat(tuple(table for table, _ in joined), tuple(width for _, width in joined))


def _goes_on(columns: Columns, after: Columns) -> bool:
    same = (columns.tensor, columns.width) == (after.tensor, after.width)
    return same and columns.start + columns.count == after.start
