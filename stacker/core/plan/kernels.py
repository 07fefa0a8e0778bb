"""The arithmetic of blends: which kernel each has, and how often what it find_blends is read."""

from __future__ import annotations

from stacker.core.values.expression import Blend, Expression, find_blends
from stacker.ops.shared.op import Kernel, Value
from stacker.ops.shared.settings import count_passes, make_kernel
from stacker.ops.table import OPS


def kernel_of(blend: Blend) -> Kernel:
    """The op of a blend with the blend's parameters bound."""
    return make_kernel(OPS[blend.op], dict(blend.parameters), _source_values(blend))


def kernels_of(expression: Expression) -> dict[Blend, Kernel]:
    """The kernels of all blends, inner ones first. Equal blends give equal values, so they are one."""
    return {blend: kernel_of(blend) for blend in find_blends(expression)}


def readings(expression: Expression) -> tuple[Expression, ...]:
    """What is read, each time it is read: a blend once for every pass of its op, then the whole expression."""
    passes = [blend for blend in dict.fromkeys(find_blends(expression)) for _ in range(_count_passes(blend))]
    return (*passes, expression)


def _count_passes(blend: Blend) -> int:
    return count_passes(OPS[blend.op], dict(blend.parameters), _source_values(blend))


def _source_values(blend: Blend) -> list[dict[str, Value]]:
    return [dict(values) for values in blend.per_source] or [{} for _ in blend.of]
