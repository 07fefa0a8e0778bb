"""Reports computed tensors of GGUF stacks that cannot be written in the quantised type of their donor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stacker.core.plan.tensors import PlannedTensor
from stacker.core.values.donor import Donor, collect_donors
from stacker.core.values.expression import Columns, Concat, Copy, Expression, Scale
from stacker.core.values.expression_parts import is_zero
from stacker.errors import Problem
from stacker.formats.ggml_types import RESCALED
from stacker.tensors import Dtype, TensorRef


def find_unwritable(tensors: Sequence[PlannedTensor], donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Yield a problem for the first computed tensor whose type can only be read, with what to do instead."""
    known = collect_donors(donors)
    for planned in tensors:
        dtype = planned.tensor.dtype
        if not dtype.writable and not _is_moved(planned.expression, dtype, known):
            message = f"{planned.tensor.name} is computed, and nothing here can quantise to {dtype.label}"
            hint = "write `output: {dtype: q8_0}` (or q4_0, float16), or scale and blend only tensors of such types"
            yield Problem(message, hint)
            return


def _is_moved(expression: Expression, dtype: Dtype, donors: Mapping[str, Donor]) -> bool:
    """Whether the blocks of a tensor are copied, all zero, or only multiplied by a factor."""
    if isinstance(expression, Concat):
        return all(_is_moved(part, dtype, donors) for part in expression.children())
    if isinstance(expression, Copy | Columns) or is_zero(expression):
        return True
    scaled = find_rescaled(expression)
    if scaled is None or dtype.label not in RESCALED:
        return False
    return donors[scaled.donor].find_stored(scaled.name).spec.dtype == dtype


def find_rescaled(expression: Expression) -> TensorRef | None:
    """The donor tensor that an expression only multiplies by a factor; None if it does anything else."""
    if isinstance(expression, Scale) and not expression.offset and isinstance(expression.of, Copy):
        return expression.of.tensor
    return None
