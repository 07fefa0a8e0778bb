"""Defines Variable, a named number or word that a search may choose, and the space of several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacker.errors import SpecError

Value = float | int | str
Assignment = Mapping[str, Value]
"""A value for each variable, by name."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A number from `low` to `high`, or one of `choices`, which are numbers in ascending order or words.

    `start` is its value in the spec. Variables of one `group` are scanned together before each moves alone; they are
    what one parameter was spread into.
    """

    name: str
    start: Value
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()
    group: str = ""

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values are alike: numbers are, words and pairs of choices are not."""
        return not self.choices or (len(self.choices) > 2 and not any(isinstance(each, str) for each in self.choices))

    @property
    def is_continuous(self) -> bool:
        """Whether every number of the range may be chosen."""
        return not self.choices

    def at(self, share: float) -> Value:
        """The value at a share (0 to 1) of the range, or the choice nearest to it."""
        share = min(1.0, max(0.0, share))
        if self.choices:
            return self.choices[min(len(self.choices) - 1, round(share * (len(self.choices) - 1)))]
        return round(self.low + share * (self.high - self.low), 6)

    def share_of(self, value: Value) -> float:
        """Where a value lies in the range, from 0 to 1; the inverse of `at`."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        return (float(value) - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class VariableSpace:
    """The values of several variables; `make` turns an assignment into what is measured."""

    variables: tuple[Variable, ...]
    make: Callable[[Assignment], Any] = field(default=dict, repr=False, compare=False)

    @property
    def start(self) -> dict[str, Value]:
        """The assignment that the search starts from."""
        return {each.name: each.start for each in self.variables}

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups of variables, in order."""
        return tuple(dict.fromkeys(each.group or each.name for each in self.variables))

    def identify(self) -> list[Any]:
        """What tells the space from others, as JSON."""
        return [[each.name, each.start, each.low, each.high, [*each.choices]] for each in self.variables]

    def decode(self, point: Assignment) -> Any:
        """What is measured for an assignment; StackerError if there is none."""
        return self.make(point)

    def set_groups(self, point: Assignment, shares: Mapping[str, float]) -> dict[str, Value]:
        """A copy of an assignment with all variables of some groups at a share of their ranges."""
        places = {each.name: shares.get(each.group or each.name) for each in self.variables}
        return {
            each.name: point[each.name] if (share := places[each.name]) is None else each.at(share)
            for each in self.variables
        }


def make_space(ranges: Mapping[str, Sequence[Value]], make: Callable[[Assignment], Any] = dict) -> VariableSpace:
    """A space from the range of each variable by name: two numbers are bounds, anything else is a list of choices.

    Two whole numbers bound all whole numbers between them. Each starts in the middle. SpecError for an empty range.
    """
    return VariableSpace(tuple(_make_variable(name, tuple(each)) for name, each in ranges.items()), make)


def _make_variable(name: str, values: tuple[Value, ...]) -> Variable:
    if len(values) < 2:
        raise SpecError.of(f"'{name}' has fewer than two values", "write two bounds, or a list of choices")
    match values:
        case (int() as low, int() as high) if low < high:
            choices: tuple[Value, ...] = tuple(range(low, high + 1))
            return Variable(name, choices[len(choices) // 2], choices=choices)
        case (int() | float() as low, int() | float() as high):
            if not low < high:
                raise SpecError.of(f"'{name}': {low} is not below {high}", "write the lower bound first")
            return Variable(name, (low + high) / 2, float(low), float(high))
        case _:
            return Variable(name, values[0], choices=values)
