"""The values a spec gives to an op: whether they are known, of the right kind, in range, complete; and the defaults.

It knows no spec and no place in one: problems come without a mark, for the caller to locate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stacker.errors import Problem, Severity, did_you_mean
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Value, Values


def check_setting(op: Op, name: str, value: Value, *, of_source: bool) -> Iterator[Problem]:
    """What is wrong with one parameter as written on a blend, or (`of_source`) on one of its sources."""
    parameter = op.parameter(name)
    if parameter is None:
        yield Problem(f"op '{op.name}' has no parameter '{name}'", did_you_mean(name, _names(op, of_source)))
    elif of_source and not parameter.per_source:
        yield Problem(f"'{name}' belongs to the blend, not to one of its sources", "write it beside `op`")
    else:
        yield from _check_value(op, parameter, value)


def check_blend(op: Op, own: Values, each: Sequence[Values], has_base: bool) -> Iterator[Problem]:
    """What is wrong with a blend as a whole: number of sources, base, parameters missing or contradictory.

    `each` has the values of every source. Names and single values are for `check_setting`.
    """
    fewest, most = op.arity
    if len(each) < fewest or (most is not None and len(each) > most):
        yield Problem(f"op '{op.name}' takes {_count(op)}, not {len(each)}")
    if op.base is Base.REQUIRED and not has_base:
        yield Problem(f"op '{op.name}' needs a base", "name the reference donor: `base: <donor>`")
    missing = list(_missing(op, own, each))
    yield from missing
    if not missing:
        yield from (Problem(f"op '{op.name}': {message}") for message in op.check(*fill_defaults(op, own, each)))


def fill_defaults(op: Op, own: Values, each: Sequence[Values]) -> tuple[Values, tuple[Values, ...]]:
    """All values of the op and of each source: a source's own, else what the blend says for all, else the default."""
    of_blend = {one.name: own.get(one.name, one.default) for one in op.parameters}
    shared = {one.name: of_blend[one.name] for one in op.parameters if one.per_source}
    return _given(of_blend), tuple(_given({**shared, **values}) for values in each)


def find_role_defaults(op: Op, role: str) -> dict[str, Value]:
    """The defaults that tensors of a role have of their own."""
    return {one.name: value for one in op.parameters for match, value in one.role_defaults if is_role(role, match)}


def is_role(role: str, match: str) -> bool:
    """Whether a role is another or a kind of it."""
    return role == match or role.startswith(f"{match}.")


def make_kernel(op: Op, own: Values, each: Sequence[Values]) -> Kernel:
    """The op's arithmetic with these values and its defaults bound; they must have passed the checks."""
    return op.make(*fill_defaults(op, own, each))


def count_passes(op: Op, own: Values, each: Sequence[Values]) -> int:
    """The number of passes of the op's kernel with these values, without making the kernel."""
    return op.count_passes(*fill_defaults(op, own, each)) if op.count_passes else op.passes[0]


def _given(values: dict[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


def _names(op: Op, of_source: bool) -> list[str]:
    return [parameter.name for parameter in op.parameters if parameter.per_source or not of_source]


def _count(op: Op) -> str:
    fewest, most = op.arity
    count = f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
    return f"{count} source{'' if most == 1 or (most is None and fewest == 1) else 's'}"


def _missing(op: Op, own: Values, each: Sequence[Values]) -> Iterator[Problem]:
    for parameter in op.parameters:
        name = parameter.name
        if parameter.default is not None or name in own:
            continue
        if not parameter.per_source or any(name not in values for values in each):
            where = "for every source" if parameter.per_source else "beside `op`"
            yield Problem(f"op '{op.name}' needs '{name}': {parameter.meaning}", f"give `{name}` {where}")


def _check_value(op: Op, parameter: OpParameter, value: Value) -> Iterator[Problem]:
    name = f"'{parameter.name}' of op '{op.name}'"
    if not _is_kind(parameter, value):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[parameter.kind]
        yield Problem(f"{name} must be {wanted}, not {_shown(value)}")
        return
    low, high = parameter.low, parameter.high
    if (low is not None and float(value) < low) or (high is not None and float(value) > high):
        yield _out_of_range(name, parameter, value)


def _is_kind(parameter: OpParameter, value: Value) -> bool:
    if parameter.kind is bool or isinstance(value, (bool, str)):
        return parameter.kind is bool and isinstance(value, bool)
    return math.isfinite(value) and (parameter.kind is float or float(value).is_integer())


def _out_of_range(name: str, parameter: OpParameter, value: Value) -> Problem:
    low, high = parameter.low, parameter.high
    bounds = f"from {low:g} to {high:g}" if low is not None and high is not None else ""
    bounds = bounds or (f"at least {low:g}" if low is not None else f"at most {high:g}")
    if parameter.extrapolates:
        return Problem(
            f"{name} is {_shown(value)}, past the range {bounds}: it extrapolates", "", None, Severity.WARNING
        )
    return Problem(f"{name} must be {bounds}, not {_shown(value)}")


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
