"""Parses and formats parameters: numbers, gradients, or mappings from roles or name patterns to either."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stacker.errors import Mark, Problem, SpecError
from stacker.spec.language.stack_spec import Gradient, Parameter, Rule, Setting, Value
from stacker.text.emitter import Flow, Tree
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, shorten

EVERYTHING = "*"
DEFAULT = "default"
_FORMS = "write a number, a list of numbers (a gradient over the slice), or a mapping from roles to either"


def format_value(value: Gradient | Value) -> Tree:
    """The YAML of one value: a gradient is a list of its knots."""
    return Flow(list(value.knots)) if isinstance(value, Gradient) else value


def parse_setting(name: str, node: Node, mark: Mark, problems: list[Problem]) -> Setting:
    """One parameter of an op, whose values can be numbers, gradients, booleans or words.

    Invalid values are left out, and their problems are added to `problems`.
    """
    return Setting(name, Parameter(drop_unreachable(_parse_rules(name, node, problems))), mark)


def parse_scale(node: Node, problems: list[Problem]) -> Parameter:
    """The value of `scale`, which can only have numbers and gradients.

    Problems with other values are added to `problems`.
    """
    rules = tuple(_parse_rules("scale", node, problems))
    words = (rule.value for rule in rules if isinstance(rule.value, bool | str))
    problems += [Problem(f"'scale' must be a number, not {str(word).lower()}", _FORMS, node.mark) for word in words]
    return Parameter(drop_unreachable(rules))


def drop_unreachable(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules that can apply to a tensor when the first rule that matches a tensor decides.

    A rule with the same `match` as an earlier rule is dropped, and so is every rule after one that matches all tensors.
    """
    reached: dict[str, Rule] = {}
    for rule in rules:
        reached.setdefault(rule.match, rule)
        if rule.match == EVERYTHING:
            break
    return tuple(reached.values())


def combine_levels(*levels: Parameter | None) -> Parameter | None:
    """One parameter with the rules of all arguments, those of the first argument first; None if all arguments are None.

    Each argument is the parameter as written at one level, such as source, slice or file.
    """
    rules = [rule for level in levels if level is not None for rule in level.rules]
    return Parameter(drop_unreachable(rules)) if rules else None


def make_constant(value: float) -> Parameter:
    """A parameter that is `value` for every tensor."""
    return Parameter((Rule(EVERYTHING, value),))


def find_constant(parameter: Parameter) -> float | None:
    """The value of a parameter that is the same number for all tensors and layers; None for any other parameter."""
    match parameter.rules:
        case (Rule(match, float() as value),) if match == EVERYTHING:
            return value
        case _:
            return None


def has_gradient(parameter: Parameter) -> bool:
    """Whether the value of any rule of the parameter is a gradient over layers."""
    return any(isinstance(rule.value, Gradient) for rule in parameter.rules)


def parse_value(name: str, node: Node) -> Gradient | Value:
    """The value of a node: a number, a boolean or a word, or a Gradient for a list of numbers.

    SpecError for any other node; `name` is the parameter's name in the message.
    """
    match node:
        case Scalar(bool() | str() as value):
            return value
        case Scalar(int() | float() as value):
            return parse_finite(name, value, node.mark)
        case Sequence((_, *_) as items):
            return Gradient(tuple(_parse_knot(name, item) for item in items))
        case Sequence():
            raise SpecError.of(f"'{shorten(name)}' is an empty list", "a gradient has one number or more", node.mark)
        case _:
            raise SpecError.of(f"'{shorten(name)}' cannot be {describe(node)}", _FORMS, node.mark)


def parse_finite(name: str, value: float, mark: Mark) -> float:
    """The number as a float; SpecError if the number is infinite, NaN or too large for a float.

    `name` is what the number is called in the message.
    """
    number = float(value) if abs(value) <= 1e300 or isinstance(value, float) else math.inf
    if not math.isfinite(number):
        raise SpecError.of(f"'{shorten(name)}' must be a finite number, not {number}", "", mark)
    return number


def _parse_knot(name: str, node: Node) -> float:
    if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return parse_finite(name, node.value, node.mark)
    raise SpecError.of(
        f"a gradient is a list of numbers, and {describe(node)} is not a number", "for instance: [0, 0.5, 1]", node.mark
    )


def _parse_rules(name: str, node: Node, problems: list[Problem]) -> Iterable[Rule]:
    entries = node.entries if isinstance(node, Mapping) else ((None, node),)
    rules: list[Rule] = []
    last: list[Rule] = []
    if not entries:
        problems.append(Problem(f"'{shorten(name)}' is an empty mapping", _FORMS, node.mark))
    for key, value in entries:
        try:
            match_text = _parse_match(key) if key else EVERYTHING
            rule = Rule(match_text, parse_value(key.text if key else name, value), (key or value).mark)
        except SpecError as error:
            problems.extend(error.problems)
        else:
            (last if match_text == EVERYTHING else rules).append(rule)
    return (*rules, *last)


def _parse_match(key: Scalar) -> str:
    if key.text == DEFAULT:
        return EVERYTHING
    if key.text == EVERYTHING:
        raise SpecError.of("write 'default' instead of '*' alone", "", key.mark)
    if not key.text or any(char.isspace() or not char.isprintable() for char in key.text):
        raise SpecError.of(
            f"'{shorten(key.text)}' is neither a role nor a pattern",
            "a role such as attn.o or mlp, a name with '*' such as '*o_proj*', or default",
            key.mark,
        )
    return key.text
