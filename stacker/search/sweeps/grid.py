"""The points of a sweep: which values of a spec's parameters are tried together. Imports neither torch nor numpy."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stacker.errors import Problem, SpecError, did_you_mean, raise_problems
from stacker.spec.parameters.space import Kind, ParameterValue, SpecParameter, format_value, set_value

Point = Mapping[str, ParameterValue]
"""A value for each parameter of a sweep, by name."""
MOST_POINTS = 10_000
_DIVISIONS = 10
"""A range of fractions without a step is divided into so many equal parts."""
_FORMS = "write t=0:1:0.1 (both ends included), t=0,0.5,1, or t alone to take its range or choices from the spec"


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter and the values of it that are tried, in order."""

    name: str
    values: tuple[ParameterValue, ...]


def parse_axes(words: Sequence[str], parameters: Sequence[SpecParameter]) -> tuple[Axis, ...]:
    """The axes of words such as `t=0:1:0.1`, `op=linear,slerp` and `cut`; SpecError with all that is wrong.

    Without words, all parameters are swept whose range or choices the spec says.
    """
    known = {each.name: each for each in parameters}
    chosen = words or [each.name for each in parameters if each.moves]
    if not chosen:
        hint = f"name a parameter: -p t=0:1:0.1; the spec declares {', '.join(known)}" if known else _DECLARE
        raise SpecError.of("there is nothing to sweep", hint)
    axes: dict[str, Axis] = {}
    problems: list[Problem] = []
    for word in chosen:
        name, equals, values = (part.strip() for part in word.partition("="))
        if name in axes:
            problems.append(Problem(f"-p sweeps '{name}' twice", "keep one of the two"))
        try:
            axes[name] = _parse_axis(name, values if equals else None, known)
        except SpecError as error:
            problems += error.problems
    raise_problems(problems)
    return tuple(axes.values())


def make_axes(values: Mapping[str, Iterable[object]], parameters: Sequence[SpecParameter]) -> tuple[Axis, ...]:
    """The axes of these values by the names of parameters, as `parse_axes` makes them of words.

    SpecError if a parameter does not exist, or does not take a value.
    """
    if not values:
        return parse_axes((), parameters)
    known = {each.name: each for each in parameters}
    unknown = [Problem(*_say_unknown(name, known)) for name in values if name not in known]
    raise_problems(unknown)
    return tuple(_make_axis(known[name], given) for name, given in values.items())


def _make_axis(parameter: SpecParameter, given: Iterable[object]) -> Axis:
    """An axis with each of the values once."""
    values = tuple(dict.fromkeys(set_value(parameter, each).value for each in given))
    if not values:
        raise SpecError.of(f"there are no values of '{parameter.name}' to try", _FORMS, parameter.mark)
    return Axis(parameter.name, values)


def _say_unknown(name: str, known: Mapping[str, SpecParameter]) -> tuple[str, str]:
    return f"there is no parameter '{name}' to sweep", did_you_mean(name, known) if known else _DECLARE


_DECLARE = "declare parameters in the spec, for instance: parameters: {t: {value: 0.5, range: [0, 1]}}"


def _parse_axis(name: str, text: str | None, known: Mapping[str, SpecParameter]) -> Axis:
    if name not in known:
        raise SpecError.of(*_say_unknown(name, known))
    parameter = known[name]
    if text is None:
        return Axis(name, _list_own_values(parameter))
    steps = text.split(":")
    is_range = len(steps) > 1 and parameter.kind in (Kind.WHOLE, Kind.NUMBER) and not parameter.choices
    tried = _list_range(name, steps) if is_range else text.split(",")
    return _make_axis(parameter, (each.strip() if isinstance(each, str) else each for each in tried))


def _list_own_values(parameter: SpecParameter) -> tuple[ParameterValue, ...]:
    """The values that the spec's own range or choices stand for."""
    if parameter.choices:
        return parameter.choices
    if parameter.kind is Kind.TRUTH:
        return (False, True)
    if parameter.range is None:
        raise SpecError.of(f"the spec says no range of '{parameter.name}'", _FORMS, parameter.mark)
    low, high = parameter.range
    step = parameter.step or (1 if parameter.kind is Kind.WHOLE else None)
    size = Fraction(str(step)) if step else (Fraction(str(high)) - Fraction(str(low))) / _DIVISIONS
    values = _list_steps(Fraction(str(low)), Fraction(str(high)), size)
    return tuple(set_value(parameter, each).value for each in values)


def _list_range(name: str, steps: Sequence[str]) -> list[float]:
    """The numbers of `low:high:step`, both ends included if the step leads there; computed exactly."""
    try:
        low, high, step = (Fraction(each.strip()) for each in (*steps, "1")[: max(3, len(steps))])
    except ValueError:
        raise SpecError.of(f"'{name}={':'.join(steps)}' is not a range", _FORMS) from None
    if step <= 0 or high < low:
        message = f"the range {':'.join(steps)} of '{name}' has no values"
        raise SpecError.of(message, "write low:high:step with a step above 0")
    return _list_steps(low, high, step)


def _list_steps(low: Fraction, high: Fraction, step: Fraction) -> list[float]:
    count = math.floor((high - low) / step) + 1
    if count > MOST_POINTS:
        raise SpecError.of(f"a range has {count:,} values", f"at most {MOST_POINTS:,} are tried: use a larger step")
    numbers = (low + number * step for number in range(count))
    return [int(each) if each.denominator == 1 else float(each) for each in numbers]


def make_grid(axes: Sequence[Axis]) -> tuple[Point, ...]:
    """All combinations of the values of the axes; the last axis moves fastest."""
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        hint = "use larger steps, or --random N"
        raise SpecError.of(f"the grid has {count:,} points; at most {MOST_POINTS:,} are tried", hint)
    names = [axis.name for axis in axes]
    rows = itertools.product(*(axis.values for axis in axes))
    return tuple(dict(zip(names, row, strict=True)) for row in rows)


def choose_points(axes: Sequence[Axis], count: int | None, seed: int) -> tuple[Point, ...]:
    """The whole grid, or `count` points of it."""
    return make_grid(axes) if count is None else draw_points(axes, count, seed)


def draw_points(axes: Sequence[Axis], count: int, seed: int) -> tuple[Point, ...]:
    """`count` different points of the grid, drawn at random; all of it in its order if it has no more."""
    total = math.prod(len(axis.values) for axis in axes)
    if total <= count:
        return make_grid(axes)
    chosen = random.Random(seed).sample(range(total), count)  # noqa: S311 - reproducible, no secret
    return tuple(_find_point(axes, number) for number in chosen)


def _find_point(axes: Sequence[Axis], number: int) -> Point:
    """The point at an index of the grid."""
    point: dict[str, ParameterValue] = {}
    for axis in reversed(axes):
        number, at = divmod(number, len(axis.values))
        point[axis.name] = axis.values[at]
    return {axis.name: point[axis.name] for axis in axes}


def format_point(point: Point) -> str:
    """A point as text, such as `t=0.5 cut=12`."""
    return " ".join(_format_pairs(point))


def _format_pairs(point: Point) -> Iterator[str]:
    for name, value in point.items():
        yield f"{name}={format_value(value)}"
