"""How one output tensor is made from donor tensors: a small closed language, nested where stacks are nested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stacker.spec.model import Value
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


Expression = Copy | Cast | Scale | Blend | Rows


def leaves(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors that an expression reads, each as often as it is read, left to right."""
    match expression:
        case Copy(tensor):
            yield tensor
        case Cast(of) | Scale(of):
            yield from leaves(of)
        case Blend():
            for source in inputs(expression):
                yield from leaves(source)
        case Rows(of):
            for source in of:
                yield from leaves(source)


def needed(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors whose values matter: the leaves, but for those that a factor of 0 makes away with."""
    match expression:
        case Copy(tensor):
            yield tensor
        case Cast(of) | Scale(of):
            if not is_zero(expression):
                yield from needed(of)
        case Blend():
            for source in inputs(expression):
                yield from needed(source)
        case Rows(of):
            for source in of:
                yield from needed(source)


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
