"""Evaluates parameters that depend on layer and tensor: `bind` fixes the layer, `Bound.value` uses the tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stacker.errors import Mark
from stacker.spec.language.stack_spec import Gradient, Parameter, Rule, Setting, Value


@dataclass(frozen=True, slots=True)
class Bound:
    """A parameter for one layer, which is at `position` (from 0) in a run of `count` layers.

    The embedding and the head have position 0 and count 2, so that a gradient has its first value there.
    """

    parameter: Parameter
    position: int
    count: int

    def value(self, role: str, name: str) -> Value | None:
        """The value of the first rule that matches a tensor with this role and full name; None if no rule matches."""
        for rule in self.parameter.rules:
            if matches(rule, role, name):
                value = rule.value
                return value.at(self.position, self.count) if isinstance(value, Gradient) else value
        return None


@dataclass(frozen=True, slots=True)
class BoundSetting:
    """A parameter of an op for one layer, with its name and its place in the spec."""

    name: str
    bound: Bound
    mark: Mark | None = field(default=None, compare=False, repr=False)


def bind(settings: Iterable[Setting], position: int, count: int) -> tuple[BoundSetting, ...]:
    """Fix the settings of an op to one layer, which is at `position` (from 0) in a run of `count` layers."""
    return tuple(BoundSetting(each.name, Bound(each.parameter, position, count), each.mark) for each in settings)


def matches(rule: Rule, role: str, name: str) -> bool:
    """Whether a rule applies to a tensor with this role and full name.

    A rule that contains `*` is compared with the full name. Any other rule must be the role or begin it, as `attn`
    begins `attn.q`.
    """
    if "*" in rule.match:
        return match_name(name, rule.match)
    return role == rule.match or role.startswith(f"{rule.match}.")


def match_name(name: str, pattern: str) -> bool:
    """Whether a full tensor name matches a pattern in which `*` stands for any characters.

    The code avoids the backtracking of a regular expression with many `.*`, which can be very slow.
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
    """The values that settings have for the tensor with this role and full name, keyed by setting name.

    A setting without a value for the tensor is left out. If two settings have the same name, the first one that has
    a value counts.
    """
    found: dict[str, Value] = {}
    for setting in settings:
        value = setting.bound.value(role, name)
        if value is not None:
            found.setdefault(setting.name, value)
    return found


def find_factor(scales: Iterable[Bound], role: str, name: str) -> float:
    """The product of all scale factors that apply to a tensor; 1 if no factor applies."""
    product = 1.0
    for scale in scales:
        value = scale.value(role, name)
        product *= 1.0 if value is None else float(value)
    return product
