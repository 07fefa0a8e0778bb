"""The arithmetic of blends: which kernel each has, and how often what it blends is read."""

from __future__ import annotations

from stacker.core.values.expression import Blend, Expression, find_blends
from stacker.ops.shared.op import Kernel
from stacker.ops.shared.settings import make_kernel
from stacker.ops.table import OPS


def kernel_of(blend: Blend) -> Kernel:
    """The op of a blend with the blend's parameters bound."""
    each = [dict(values) for values in blend.per_source] or [{} for _ in blend.of]
    return make_kernel(OPS[blend.op], dict(blend.parameters), each)


def kernels_of(expression: Expression) -> dict[Blend, Kernel]:
    """The kernels of all blends, inner ones first. Equal blends give equal values, so they are one."""
    return {blend: kernel_of(blend) for blend in find_blends(expression)}


def readings(expression: Expression) -> tuple[Expression, ...]:
    """What is read, each time it is read: a blend once for every pass of its kernel, then the whole expression."""
    passes = [blend for blend, kernel in kernels_of(expression).items() for _ in kernel.passes]
    return (*passes, expression)
