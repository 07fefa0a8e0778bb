"""Checks the parameter values that a spec sets for an op, and fills in defaults for parameters that are not set.

The reported problems have no position in the spec, because this module does not see the text of the spec.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stacker.errors import Problem, Severity, did_you_mean
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Value, Values


def check_setting(op: Op, name: str, value: Value, *, of_source: bool) -> Iterator[Problem]:
    """Yield a problem if the op has no such parameter, or if the value has the wrong type or is out of range.

    With `of_source`, the value is set on one source of the blend; without it, on the blend.
    """
    parameter = op.parameter(name)
    if parameter is None:
        yield Problem(f"op '{op.name}' has no parameter '{name}'", did_you_mean(name, _list_names(op, of_source)))
    elif of_source and not parameter.per_source:
        yield Problem(f"'{name}' belongs to the blend, not to one of its sources", "write it beside `op`")
    else:
        yield from _check_value(op, parameter, value)


def check_blend(op: Op, own: Values, each: Sequence[Values], has_base: bool) -> Iterator[Problem]:
    """Yield problems with the number of sources, a missing base, and missing or contradictory parameter values.

    `own` has the values set on the blend, and `each` the values set on each source; `check_setting` checks each value
    alone.
    """
    yield from check_inputs(op, len(each), has_base)
    missing = list(_check_missing(op, own, each))
    yield from missing
    if not missing:
        yield from (Problem(f"op '{op.name}': {message}") for message in op.check(*fill_defaults(op, own, each)))


def check_inputs(op: Op, count: int, has_base: bool) -> Iterator[Problem]:
    """Yield a problem if the op does not take this number of sources, or needs a base and has none."""
    fewest, most = op.arity
    if count < fewest or (most is not None and count > most):
        yield Problem(f"op '{op.name}' takes {_arity_text(op)}, not {count}")
    if op.base is Base.REQUIRED and not has_base:
        yield Problem(f"op '{op.name}' needs a base", "name the reference donor: `base: <donor>`")


def fill_defaults(op: Op, own: Values, each: Sequence[Values]) -> tuple[Values, tuple[Values, ...]]:
    """Complete the values set on the blend (`own`) and on each source (`each`), and return the two in that order.

    A value set on a source takes precedence over a value set on the blend, which takes precedence over the default.
    """
    of_blend = {one.name: own.get(one.name, one.default) for one in op.parameters}
    shared = {one.name: of_blend[one.name] for one in op.parameters if one.per_source}
    return _drop_missing(of_blend), tuple(_drop_missing({**shared, **values}) for values in each)


def find_role_defaults(op: Op, role: str) -> dict[str, Value]:
    """The op's special defaults for tensors with this role, by parameter name; empty if there are none."""
    return {one.name: value for one in op.parameters for match, value in one.role_defaults if is_role(role, match)}


def is_role(role: str, match: str) -> bool:
    """Whether `role` is `match` or a subrole of `match`; for example, `attn.o.bias` is a subrole of `attn.o`."""
    return role == match or role.startswith(f"{match}.")


def make_kernel(op: Op, own: Values, each: Sequence[Values]) -> Kernel:
    """The op's kernel for the values set on the blend (`own`) and on each source (`each`), completed with defaults.

    The caller must have checked the values.
    """
    return op.make(*fill_defaults(op, own, each))


def count_passes(op: Op, own: Values, each: Sequence[Values]) -> int:
    """How many passes over the tensor the op needs, computed without making its kernel.

    `own` has the values set on the blend, and `each` the values set on each source.
    """
    return op.count_passes(*fill_defaults(op, own, each)) if op.count_passes else op.passes[0]


def _drop_missing(values: dict[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


def _list_names(op: Op, of_source: bool) -> list[str]:
    return [parameter.name for parameter in op.parameters if parameter.per_source or not of_source]


def _arity_text(op: Op) -> str:
    fewest, most = op.arity
    count = f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
    return f"{count} source{'' if most == 1 or (most is None and fewest == 1) else 's'}"


def _check_missing(op: Op, own: Values, each: Sequence[Values]) -> Iterator[Problem]:
    for parameter in op.parameters:
        name = parameter.name
        if parameter.default is not None or name in own:
            continue
        if not parameter.per_source or any(name not in values for values in each):
            where = "for every source" if parameter.per_source else "beside `op`"
            yield Problem(f"op '{op.name}' needs '{name}': {parameter.meaning}", f"give `{name}` {where}")


def _check_value(op: Op, parameter: OpParameter, value: Value) -> Iterator[Problem]:
    name = f"'{parameter.name}' of op '{op.name}'"
    if not _has_kind(parameter, value):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[parameter.kind]
        yield Problem(f"{name} must be {wanted}, not {_value_text(value)}")
        return
    low, high = parameter.low, parameter.high
    if (low is not None and float(value) < low) or (high is not None and float(value) > high):
        yield _range_problem(name, parameter, value)


def _has_kind(parameter: OpParameter, value: Value) -> bool:
    if parameter.kind is bool or isinstance(value, (bool, str)):
        return parameter.kind is bool and isinstance(value, bool)
    return math.isfinite(value) and (parameter.kind is float or float(value).is_integer())


def _range_problem(name: str, parameter: OpParameter, value: Value) -> Problem:
    low, high = parameter.low, parameter.high
    bounds = f"from {low:g} to {high:g}" if low is not None and high is not None else ""
    bounds = bounds or (f"at least {low:g}" if low is not None else f"at most {high:g}")
    if parameter.extrapolates:
        return Problem(
            f"{name} is {_value_text(value)}, past the range {bounds}: it extrapolates", "", None, Severity.WARNING
        )
    return Problem(f"{name} must be {bounds}, not {_value_text(value)}")


def _value_text(value: Value) -> str:
    if isinstance(value, str):
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
