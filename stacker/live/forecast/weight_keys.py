"""Tells which weights of plans are equal, so that they are held in memory only once. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stacker.core.plan.plan import Step
from stacker.core.plan.task_making import simplify
from stacker.core.plan.tasks import TensorBytes
from stacker.core.values.expression import Blend, Columns, Copy, Expression
from stacker.ops.table import OPS
from stacker.tensors import Dtype, TensorRef

Places = Mapping[TensorRef, TensorBytes]


@dataclass(frozen=True, slots=True)
class WeightKey:
    """Identifies the value of a tensor: steps with equal keys, of one plan or of several, have equal bytes.

    In `expression`, donor tensors are named by the path and header hash of their file and their byte offset in it.
    """

    expression: Expression
    dtype: Dtype
    shape: tuple[int, ...]


def make_weight_key(step: Step, places: Places) -> WeightKey:
    """The key of a step's tensor; `places` says where the donor tensors are stored that the step reads."""
    expression = _resolve(simplify(step.expression, step.tensor.dtype), places)
    return WeightKey(expression, step.tensor.dtype, step.tensor.shape)


def _resolve(expression: Expression, places: Places) -> Expression:
    """Name donor tensors by their place, and leave out the seeds of ops that draw no random numbers."""
    if isinstance(expression, Copy | Columns):
        place = places.get(expression.tensor)
        if place is None:  # multiplied by 0, so it is never read
            return expression
        name = f"{place.offset}:{place.dtype.label}"
        return replace(expression, tensor=TensorRef(f"{place.file.path}:{place.file.header}", name))
    resolved = expression.rebuild([_resolve(child, places) for child in expression.children()])
    if isinstance(resolved, Blend) and OPS[resolved.op].parameter("seed") is None:
        return replace(resolved, seed="")
    return resolved
