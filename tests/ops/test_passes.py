"""The number of passes that an op declares is that of the kernels it makes, for all kinds of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from stacker.ops.shared.op import Op, OpParameter, Value
from stacker.ops.shared.settings import count_passes, fill_defaults, make_kernel
from stacker.ops.table import OPS

_INSIDE = 0.25
"""A value between the ends of any range, where an op has the most to do."""


def _values(parameter: OpParameter) -> tuple[Value, ...]:
    """Both flags; for numbers the default, a value inside the range, and its ends."""
    if parameter.kind is bool:
        return (False, True)
    default = _INSIDE if parameter.default is None else parameter.default
    ends = (parameter.low, parameter.high)
    ranged = parameter.kind is float and None not in ends
    return tuple(dict.fromkeys((default, _INSIDE, *(end for end in ends if end is not None)) if ranged else (default,)))


def _settings(parameters: Sequence[OpParameter]) -> Iterator[dict[str, Value]]:
    names = [parameter.name for parameter in parameters]
    for values in product(*map(_values, parameters)):
        yield dict(zip(names, values, strict=True))


def _blends(op: Op) -> Iterator[tuple[dict[str, Value], list[dict[str, Value]]]]:
    """Every combination of an op's own values and those of two sources (or one) that the op accepts."""
    own = list(_settings([parameter for parameter in op.parameters if not parameter.per_source]))
    each = list(_settings([parameter for parameter in op.parameters if parameter.per_source]))
    for mine, *sources in product(own, *[each] * (op.arity[1] or 2)):
        if not list(op.check(*fill_defaults(op, mine, sources))):
            yield mine, sources


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_an_op_declares_its_passes(op: Op) -> None:
    """Declared and made are equal for every combination, and the declared range is the narrowest that holds them."""
    counts = set()
    for own, each in _blends(op):
        passes = len(make_kernel(op, own, each).passes)
        assert count_passes(op, own, each) == passes, (own, each)
        counts.add(passes)
    assert (min(counts), max(counts)) == op.passes


@pytest.mark.parametrize(
    ("name", "passes"),
    [("linear", (0, 0)), ("slerp", (1, 1)), ("dare_ties", (0, 1)), ("model_stock", (0, 1)), ("sce", (1, 4))],
)
def test_how_many_passes_an_op_makes(name: str, passes: tuple[int, int]) -> None:
    """An angle takes a pass, restored magnitudes one, exact ranks three."""
    assert OPS[name].passes == passes
