"""Defines the parameters of a spec: named values, and where sweeps and searches may move them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from numbers import Integral, Real
from typing import Any

from stacker.errors import Mark, SpecError, did_you_mean
from stacker.text.node import Plain, shorten
from stacker.text.scalars import ScalarError, parse_plain

ParameterValue = bool | int | float | str
MOST_CHARACTERS = 200
"""The longest word; a spec that repeats a word many times then stays small."""
_LARGEST = 10**15


class Kind(Enum):
    """What a parameter without choices takes; the values are how messages call it."""

    WHOLE = "a whole number"
    NUMBER = "a number"
    WORD = "a word"
    TRUTH = "true or false"


@dataclass(frozen=True, slots=True)
class SpecParameter:
    """A named value of a spec. It moves in `range` (both ends included), by `step` if that is given, or in `choices`.

    A parameter whose value, range and step are all written as whole numbers takes whole numbers only.
    """

    name: str
    value: ParameterValue
    range: tuple[float, float] | None = None
    step: float | None = None
    choices: tuple[ParameterValue, ...] = ()
    mark: Mark | None = field(default=None, compare=False, repr=False)
    is_set: bool = field(default=False, compare=False)
    """Whether the value was set from outside, instead of the one in the text."""

    @property
    def kind(self) -> Kind:
        """What the parameter takes."""
        if isinstance(self.value, bool):
            return Kind.TRUTH
        if isinstance(self.value, str):
            return Kind.WORD
        written = (self.value, *(self.range or ()), *(() if self.step is None else (self.step,)))
        return Kind.WHOLE if all(isinstance(each, int) for each in written) else Kind.NUMBER

    @property
    def moves(self) -> bool:
        """Whether the spec says where a sweep or search may move the parameter."""
        return bool(self.range or self.choices)


def set_value(parameter: SpecParameter, given: object) -> SpecParameter:
    """The parameter with another value; SpecError if it does not take that value.

    Text is read as the spec's text is, so that `0.5` from a command line is a number where the parameter takes numbers.
    """
    return replace(parameter, value=_convert(parameter, given), is_set=True)


def list_set(parameters: Iterable[SpecParameter]) -> dict[str, ParameterValue]:
    """The values that were set from outside, by the names of their parameters."""
    return {each.name: each.value for each in parameters if each.is_set}


def _convert(parameter: SpecParameter, given: object) -> ParameterValue:
    readings = tuple(_list_readings(given))
    if parameter.choices:
        return _choose(parameter, given, readings)
    for reading in readings:
        value = _fit(parameter.kind, reading)
        if value is not None:
            return _check_value(parameter, value)
    hint = f"the spec says {parameter.name}: {format_value(parameter.value)}"
    if parameter.kind is Kind.WHOLE and any(_fit(Kind.NUMBER, reading) is not None for reading in readings):
        hint = f"{hint}, a whole number; with a point ({parameter.value}.0) it takes fractions too"
    message = f"parameter '{parameter.name}' takes {parameter.kind.value}, not {_show(given)}"
    raise SpecError.of(message, hint, parameter.mark)


def _list_readings(given: object) -> Iterator[Plain]:
    """A value as it is and, if it is text, as what YAML reads the text as."""
    number: Any = given
    if isinstance(given, bool | str):
        yield given
    elif isinstance(given, Integral):
        yield int(number)
    elif isinstance(given, Real):
        yield float(number)
    if isinstance(given, str):
        try:
            yield parse_plain(given)
        except ScalarError:
            return


def _fit(kind: Kind, value: Plain) -> ParameterValue | None:
    """The value in the type of a kind; None if it is of another kind."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case Kind.WORD if isinstance(value, str):
            return value
        case Kind.TRUTH if isinstance(value, bool):
            return value
        case Kind.WHOLE if isinstance(value, int) and is_number:
            return value
        case Kind.WHOLE if isinstance(value, float) and value.is_integer():
            return int(value)
        case Kind.NUMBER if isinstance(value, float):
            return value
        case Kind.NUMBER if isinstance(value, int) and is_number:
            return float(value) if abs(value) < 10**300 else math.inf
        case _:
            return None


def _check_value(parameter: SpecParameter, value: ParameterValue) -> ParameterValue:
    reason = find_fault(value)
    if reason:
        raise SpecError.of(f"parameter '{parameter.name}' {reason}", "", parameter.mark)
    if parameter.range and not isinstance(value, str) and not parameter.range[0] <= value <= parameter.range[1]:
        low, high = (format_value(bound) for bound in parameter.range)
        message = f"parameter '{parameter.name}' is {format_value(value)}, outside its range [{low}, {high}]"
        raise SpecError.of(message, "change the value, or the range in the spec", parameter.mark)
    return value


def find_fault(value: ParameterValue) -> str:
    """What is wrong with a value of any parameter, as the end of a sentence; empty if nothing is."""
    if isinstance(value, str):
        if not value.isprintable() or not value.strip():
            return "must be printable text"
        return f"is longer than {MOST_CHARACTERS} characters" if len(value) > MOST_CHARACTERS else ""
    if not math.isfinite(value):
        return f"must be a finite number, not {value}"
    return "is too large" if isinstance(value, int) and abs(value) > _LARGEST else ""


def _choose(parameter: SpecParameter, given: object, readings: tuple[Plain, ...]) -> ParameterValue:
    for choice in parameter.choices:
        if any(is_same(choice, reading) for reading in readings):
            return choice
    known = [format_value(choice) for choice in parameter.choices]
    message = f"parameter '{parameter.name}' is one of {', '.join(known)}, not {_show(given)}"
    raise SpecError.of(message, did_you_mean(str(given), known), parameter.mark)


def is_same(one: Plain, other: Plain) -> bool:
    """Whether two values are equal; true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _show(given: object) -> str:
    return f"'{shorten(given)}'" if isinstance(given, str) else shorten(str(given))


def format_value(value: ParameterValue) -> str:
    """A value as it stands inside text: `16`, `0.5`, `true`, `slerp`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
