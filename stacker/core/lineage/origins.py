"""Where tensors of a stack come from, down to the bytes of donors' files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.core.plan.plan import Step
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
from stacker.core.values.expression_parts import find_needed_tensors


@dataclass(frozen=True, slots=True)
class Origin:
    """A donor tensor that a tensor of a stack is made from, and where it is stored.

    `file` is the path, or the name, of the donor's file, and the tensor is its bytes [offset, offset + nbytes). `file`
    is "" if the donor cannot be read.
    """

    donor: str
    tensor: str
    file: str = ""
    offset: int = 0
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class TensorOrigins:
    """A tensor of a stack: how it was made, and from which donor tensors, each once."""

    tensor: str
    how: str
    origins: tuple[Origin, ...]


def trace_tensors(steps: Sequence[Step], donors: Mapping[str, Donor]) -> Iterator[TensorOrigins]:
    """Find the origins of the tensors of some steps; `donors` has those donors that could be read, by name."""
    for step in steps:
        refs = dict.fromkeys(find_needed_tensors(step.expression))
        origins = tuple(_locate(ref.donor, ref.name, donors.get(ref.donor)) for ref in refs)
        yield TensorOrigins(step.tensor.name, describe(step.expression), origins)


def _locate(name: str, tensor: str, donor: Donor | None) -> Origin:
    known = donor.tensors.get(tensor) if donor else None
    if donor is None or known is None or known.extent is None:
        return Origin(name, tensor)
    file = donor.files[known.extent.file]
    return Origin(name, tensor, file.path or f"{donor.source}/{file.name}", known.extent.offset, known.extent.nbytes)


def describe(expression: Expression) -> str:
    """How a tensor is made, in a few words: `copied`, `slerp`, `copied × 0.5, cast to F16`."""
    match expression:
        case Copy():
            return "copied"
        case Cast(of, dtype):
            return f"{describe(of)}, cast to {dtype.label}"
        case Scale(of, factor):
            return "zeros" if not factor else f"{describe(of)} × {factor:g}"
        case Blend(op):
            return op
        case _:
            return "assembled from rows or columns"
