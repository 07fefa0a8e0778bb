"""Reads the declarations of a spec's parameters: `cut: 16`, `t: {value: 0.5, range: [0, 1], step: 0.1}`."""

from __future__ import annotations

import re

from stacker.errors import Mark, Problem, did_you_mean
from stacker.spec.parameters.space import ParameterValue, SpecParameter, find_fault, format_value, is_same
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, is_null, shorten

PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS = ("value", "range", "step", "choices")
_FORMS = "write a number or a word, or {value: 0.5, range: [0, 1]}, or {value: slerp, choices: [linear, slerp]}"
Problems = list[Problem]


def parse_declarations(node: Node | None, key: str, problems: Problems) -> tuple[SpecParameter, ...]:
    """The parameters declared in `node`, the value of the top-level key `key`; what is wrong is added to `problems`.

    A parameter with a wrong declaration is kept, so that its uses are not reported as unknown.
    """
    if is_null(node) or node is None:
        return ()
    if not isinstance(node, Mapping):
        problems.append(Problem(f"'{key}' must be a mapping, not {describe(node)}", f"{key}: {{cut: 16}}", node.mark))
        return ()
    return tuple(_parse_one(name, below, problems) for name, below in node.entries)


def _parse_one(key: Scalar, node: Node, problems: Problems) -> SpecParameter:
    name = key.text
    if not PARAMETER_NAME.fullmatch(name):
        hint = "use letters, digits and '_', and begin with a letter"
        problems.append(Problem(f"'{shorten(name)}' cannot be a parameter's name", hint, key.mark))
    if not isinstance(node, Mapping):
        value = _parse_value(name, node, problems)
        return SpecParameter(name, 1 if value is None else value, mark=key.mark)
    for written in node.names:
        if written not in _KEYS:
            hint = did_you_mean(written, _KEYS)
            problems.append(Problem(f"unknown key '{shorten(written)}'", hint, node.key_mark(written)))
    below = node.get("value")
    if below is None:
        problems.append(Problem(f"parameter '{shorten(name)}' has no 'value'", _FORMS, node.mark))
        return SpecParameter(name, 1, mark=key.mark)
    value = _parse_value(name, below, problems)
    if value is None:
        return SpecParameter(name, 1, mark=key.mark)
    return _parse_moves(name, value, node, key.mark, problems)


def _parse_value(name: str, node: Node, problems: Problems) -> ParameterValue | None:
    """A value as it is written; None if it cannot be one, which is added to `problems`."""
    if not isinstance(node, Scalar) or node.value is None:
        hint = _FORMS if not isinstance(node, Sequence) else "a parameter stands for one value: write [${low}, ${high}]"
        problems.append(Problem(f"parameter '{shorten(name)}' cannot be {describe(node)}", hint, node.mark))
        return None
    if "${" in node.text:
        hint = "write ${…} where the value is used; sums such as ${cut+8} are allowed there"
        problems.append(Problem(f"parameter '{shorten(name)}' cannot be made of other parameters", hint, node.mark))
        return None
    reason = find_fault(node.value)
    if reason:
        problems.append(Problem(f"parameter '{shorten(name)}' {reason}", "", node.mark))
        return None
    return node.value


def _parse_moves(name: str, value: ParameterValue, node: Mapping, mark: Mark, problems: Problems) -> SpecParameter:
    """The parameter of a mapping with a valid value; wrong ranges, steps and choices are reported and left out."""
    span, step, choices = node.get("range"), node.get("step"), node.get("choices")
    for each, other in ((span, "range"), (step, "step")):
        if choices is not None and each is not None:
            problems.append(Problem(f"a parameter has 'choices' or '{other}', not both", "", node.key_mark(other)))
    if choices is not None:
        found = _parse_choices(name, value, choices, problems)
        return SpecParameter(name, value, choices=found, mark=mark)
    if step is not None and span is None:
        message = "'step' needs a 'range' to move in"
        problems.append(Problem(message, "for instance: range: [8, 24], step: 4", node.key_mark("step")))
    limits = None if span is None else _parse_range(name, value, span, problems)
    size = None if step is None or limits is None else _parse_step(limits, step, problems)
    return SpecParameter(name, value, limits, size, mark=mark)


def _parse_range(name: str, value: ParameterValue, node: Node, problems: Problems) -> tuple[float, float] | None:
    bounds = [_get_number(item) for item in node.items] if isinstance(node, Sequence) else []
    low, high = bounds if len(bounds) == 2 else (None, None)
    if low is None or high is None or not low < high:
        hint = "for instance: range: [8, 24]; the first is the lower one"
        problems.append(Problem("'range' must be a list of two numbers, the lower first", hint, node.mark))
        return None
    if isinstance(value, bool | str):
        message = f"parameter '{shorten(name)}' is {_call(value)}, and a range is of numbers"
        problems.append(Problem(message, "write choices: [...]", node.mark))
        return None
    if not low <= value <= high:
        message = f"parameter '{shorten(name)}' is {format_value(value)}, outside its range [{low}, {high}]"
        problems.append(Problem(message, "change the value or the range", node.mark))
    return low, high


def _call(value: ParameterValue) -> str:
    return format_value(value) if isinstance(value, bool) else "a word"


def _parse_step(limits: tuple[float, float], node: Node, problems: Problems) -> float | None:
    step = _get_number(node)
    if step is None or not 0 < step <= limits[1] - limits[0]:
        hint = "for instance: step: 4"
        problems.append(Problem("'step' must be a number above 0 that fits into the range", hint, node.mark))
        return None
    return step


def _parse_choices(name: str, value: ParameterValue, node: Node, problems: Problems) -> tuple[ParameterValue, ...]:
    if not isinstance(node, Sequence) or not node.items:
        hint = "for instance: choices: [linear, slerp]"
        problems.append(Problem("'choices' must be a list of values", hint, node.mark))
        return ()
    read = [_parse_value(name, item, problems) for item in node.items]
    choices = tuple(each for each in read if each is not None)
    for at, item in enumerate(choices):
        if any(is_same(item, other) for other in choices[:at]):
            problems.append(Problem(f"the choice {format_value(item)} is written twice", "", node.mark))
    if len(choices) == len(read) and not any(is_same(value, each) for each in choices):
        known = ", ".join(map(format_value, choices))
        message = f"parameter '{shorten(name)}' is {format_value(value)}, which is none of its choices: {known}"
        problems.append(Problem(message, "change the value, or add it to the choices", node.mark))
    return choices


def _get_number(node: Node) -> float | None:
    """A number as it is written, whole or not; None for everything else, also for numbers that are too large."""
    value = node.value if isinstance(node, Scalar) else None
    good = isinstance(value, int | float) and not isinstance(value, bool) and not find_fault(value)
    return value if good and isinstance(value, int | float) else None
