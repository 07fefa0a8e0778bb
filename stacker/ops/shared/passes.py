"""How often an op reads its sources, told by the kernels that it makes for all kinds of values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from stacker.ops.shared.op import Op, OpParameter, Value
from stacker.ops.shared.settings import complete

_INSIDE = 0.25
"""A value between the ends of any range, where an op has the most to do."""


def readings_of(op: Op) -> tuple[int, int]:
    """The fewest and the most times that an op reads a whole tensor: once for each pass, and once to make it."""
    counts = [1 + len(op.make(*complete(op, own, [own] * _sources(op))).passes) for own in _values(op)]
    return min(counts), max(counts)


def _sources(op: Op) -> int:
    return op.arity[1] or max(2, op.arity[0])


def _values(op: Op) -> Iterator[dict[str, Value]]:
    """Every combination of flags, of defaults, and of values inside the ranges, that the op accepts."""
    names = [parameter.name for parameter in op.parameters]
    for values in product(*map(_tried, op.parameters)):
        own = dict(zip(names, values, strict=True))
        if not list(op.check(*complete(op, own, [own] * _sources(op)))):
            yield own


def _tried(parameter: OpParameter) -> tuple[Value, ...]:
    if parameter.kind is bool:
        return (False, True)
    default = _INSIDE if parameter.default is None else parameter.default
    ranged = parameter.kind is float and parameter.high is not None
    return (default, _INSIDE) if ranged else (default,)
