"""Reads what `-p` says in a search: values at which parameters of a spec stay, and where others move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from stacker.errors import Problem, SpecError, attempt, did_you_mean, escape_text, raise_problems
from stacker.spec.parameters.space import Kind, ParameterValue, SpecParameter, set_value

_FORMS = "write t=0.5 for a value that stays, t=0:1 or t=0:1:0.1 for a range, t=0,0.5,1 or op=linear,slerp for choices"

_FAR = 10**15


def parse_moves(words: Sequence[str], parameters: Iterable[SpecParameter]) -> dict[str, SpecParameter]:
    """The parameters that words such as `t=0.5`, `t=0:1` and `op=linear,slerp` are about, as they say, by name.

    One that stays has no range. One that moves keeps its value, or takes the nearest in its range or the first of its
    choices. SpecError with all that is wrong.
    """
    known = {each.name: each for each in parameters}
    found: dict[str, SpecParameter] = {}
    problems: list[Problem] = []
    for word in words:
        name, _, values = (part.strip() for part in word.partition("="))
        if name in found:
            problems.append(Problem(f"-p names '{name}' twice", "keep one of the two"))
        moved = attempt(problems, partial(_parse_move, word, name, values, known))
        found |= {name: moved} if moved else {}
    raise_problems(problems)
    return found


def _parse_move(word: str, name: str, values: str, known: Mapping[str, SpecParameter]) -> SpecParameter:
    if not name or not values:
        raise SpecError.of(f"'{escape_text(word)}' is not NAME=VALUE", _FORMS)
    if name not in known:
        advice = did_you_mean(name, known) if known else "-p is about what a spec declares under 'parameters'"
        raise SpecError.of(f"there is no parameter '{escape_text(name)}'", advice)
    parameter = known[name]
    is_number = parameter.kind in (Kind.WHOLE, Kind.NUMBER) and not parameter.choices
    if ":" in values and is_number:
        return _set_range(parameter, [each.strip() for each in values.split(":")])
    if "," in values:
        return _set_choices(parameter, [each.strip() for each in values.split(",")])
    return replace(set_value(parameter, values), range=None, step=None, choices=())


def _set_range(parameter: SpecParameter, texts: Sequence[str]) -> SpecParameter:
    if len(texts) > 3:
        raise SpecError.of(f"'{parameter.name}={':'.join(texts)}' is not a range", _FORMS)
    low, high = (_to_number(set_value(parameter, each).value) for each in texts[:2])
    steps = [_read_step(parameter, each) for each in texts[2:]]
    if not low < high:
        raise SpecError.of(f"-p {parameter.name}: {low} is not below {high}", "write the lower bound first")
    if steps and not 0 < steps[0] <= high - low:
        message = f"-p {parameter.name}: a step of {steps[0]} does not lead from {low} to {high}"
        raise SpecError.of(message, "write a step above 0 that fits into the range")
    value = min(max(_to_number(parameter.value), low), high)
    return replace(set_value(parameter, value), range=(low, high), step=steps[0] if steps else None)


def _read_step(parameter: SpecParameter, text: str) -> float:
    """A step, which is of the parameter's kind but may lie outside its range."""
    wide = (-_FAR, _FAR) if parameter.kind is Kind.WHOLE else (float(-_FAR), float(_FAR))
    return _to_number(set_value(replace(parameter, range=wide), text).value)


def _to_number(value: ParameterValue) -> float:
    assert not isinstance(value, str)
    return value


def _set_choices(parameter: SpecParameter, texts: Sequence[str]) -> SpecParameter:
    problems: list[Problem] = []
    read = [attempt(problems, partial(set_value, parameter, text)) for text in texts]
    raise_problems(problems)
    choices = tuple(dict.fromkeys(each.value for each in read if each))
    if len(choices) < 2:
        raise SpecError.of(f"-p {parameter.name} has a single choice", _FORMS)
    value = parameter.value if parameter.value in choices else choices[0]
    return replace(set_value(parameter, value), range=None, step=None, choices=choices)
