"""Parameters whose value depends on layer and tensor: bound to a layer first, then evaluated for each tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stacker.errors import Mark
from stacker.spec.language.stack_spec import Gradient, Parameter, Rule, Setting, Value


@dataclass(frozen=True, slots=True)
class Bound:
    """A parameter bound to layer `position` (from 0) of a run of `count` layers.

    The embedding and the head have position 0 and count 2, so that a gradient gives them its first value.
    """

    parameter: Parameter
    position: int
    count: int

    def value(self, role: str, name: str) -> Value | None:
        """The value of the first rule that matches a tensor with this role and full name; None if none matches."""
        for rule in self.parameter.rules:
            if matches(rule, role, name):
                value = rule.value
                return value.at(self.position, self.count) if isinstance(value, Gradient) else value
        return None


@dataclass(frozen=True, slots=True)
class BoundSetting:
    """A parameter of an op, bound to a layer."""

    name: str
    bound: Bound
    mark: Mark | None = field(default=None, compare=False, repr=False)


def bind(settings: Iterable[Setting], position: int, count: int) -> tuple[BoundSetting, ...]:
    """Bind settings to one layer of a run."""
    return tuple(BoundSetting(each.name, Bound(each.parameter, position, count), each.mark) for each in settings)


def matches(rule: Rule, role: str, name: str) -> bool:
    """Whether a rule selects a tensor: by its full name if the rule has a `*`, else by its role or a prefix of it."""
    if "*" in rule.match:
        return match_name(name, rule.match)
    return role == rule.match or role.startswith(f"{rule.match}.")


def match_name(name: str, pattern: str) -> bool:
    """Whether a full tensor name matches a pattern in which only `*` is special and matches any characters.

    Takes time proportional to the lengths; a regular expression with many `.*` would backtrack.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    position, end = len(first), len(name) - len(last)
    if not (name.startswith(first) and name.endswith(last) and position <= end):
        return False
    for part in middle:
        position = name.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def find_values(settings: Iterable[BoundSetting], role: str, name: str) -> dict[str, Value]:
    """The settings that have a value for the tensor, by name; the first of two with the same name counts."""
    found: dict[str, Value] = {}
    for setting in settings:
        value = setting.bound.value(role, name)
        if value is not None:
            found.setdefault(setting.name, value)
    return found


def find_factor(scales: Iterable[Bound], role: str, name: str) -> float:
    """The product of all factors that apply to the tensor; 1 if there are none."""
    product = 1.0
    for scale in scales:
        value = scale.value(role, name)
        product *= 1.0 if value is None else float(value)
    return product
