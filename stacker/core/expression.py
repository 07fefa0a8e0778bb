"""How one output tensor is made from donor tensors: a small closed language, nested where stacks are nested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


Expression = Copy | Cast | Scale | Blend


def leaves(expression: Expression) -> Iterator[TensorRef]:
    """The donor tensors that an expression reads, each as often as it is read, left to right."""
    match expression:
        case Copy(tensor):
            yield tensor
        case Cast(of) | Scale(of):
            yield from leaves(of)
        case Blend(of=of, base=base):
            for source in (*of, *((base,) if base else ())):
                yield from leaves(source)
