"""Spreads a parameter over the depth and the roles of a blend: one number becomes a few knots for each group of roles.

`weight: ${t}` with t from 0 to 1 becomes a mapping with a gradient for attention, one for the MLP, and one number for
the rest. Each of these numbers is a parameter with the range of t.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import yaml

from stacker.errors import SpecError
from stacker.spec.parameters.expressions import ExpressionError, list_names, parse_pieces
from stacker.spec.parameters.space import SpecParameter
from stacker.spec.parameters.substitution import NATIVE_KEY

ROLES = ("attn", "mlp")
"""The groups of roles that get a gradient of their own; everything else gets one number."""
REST = "rest"
_MARK = "__"


def find_group(name: str) -> str:
    """The name of the parameter that a parameter was spread from; its own if it was not."""
    return name.partition(_MARK)[0]


def spread_parameters(text: str, parameters: Sequence[SpecParameter], knots: int) -> str:
    """The text of a spec with the parameters spread: `knots` numbers for each group of roles, and one for the rest.

    A parameter must stand alone wherever it is used: SpecError if it is part of a sum or of a slice.
    """
    places = [
        *_find_uses(text, {each.name for each in parameters}, knots),
        _replace_declarations(text, parameters, knots),
    ]
    for start, stop, new in sorted(places, reverse=True):
        text = text[:start] + new + text[stop:]
    return text


def _find_uses(text: str, names: set[str], knots: int) -> Iterator[tuple[int, int, str]]:
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if not isinstance(event, yaml.ScalarEvent) or "${" not in event.value:
            continue
        used = sorted(names.intersection(_list_used(event.value)))
        whole = event.value[2:-1] if event.value.startswith("${") and event.value.endswith("}") else ""
        if whole in names and event.start_mark and event.end_mark:
            yield event.start_mark.index, event.end_mark.index, _write_mapping(whole, knots)
        elif used:
            raise SpecError.of(f"'{event.value}' cannot be spread", f"spread needs ${{{used[0]}}} alone, as a value")


def _list_used(text: str) -> tuple[str, ...]:
    """The parameters that a text uses; none if it is no such text, such as a chat template."""
    try:
        return list_names(parse_pieces(text))
    except ExpressionError:
        return ()


def _list_knots(name: str, role: str, knots: int) -> list[str]:
    return [f"{name}{_MARK}{role}{at}" for at in range(1, knots + 1)]


def _write_mapping(name: str, knots: int) -> str:
    rows = {role: [f"${{{knot}}}" for knot in _list_knots(name, role, knots)] for role in ROLES}
    return json.dumps({**rows, "default": f"${{{name}{_MARK}{REST}}}"})


def _replace_declarations(text: str, parameters: Sequence[SpecParameter], knots: int) -> tuple[int, int, str]:
    """Where the value of `parameters` stands in the text, and what is written instead of it."""
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    node = next((value for key, value in pairs if key.value == NATIVE_KEY), None)
    if node is None:
        raise SpecError.of("only stacker's own specs can be spread", "convert this one first: stacker convert SPEC")
    spread = {each.name: each for each in parameters}
    kept = [
        text[key.start_mark.index : value.end_mark.index].strip()
        for key, value in node.value
        if key.value not in spread
    ]
    found = {
        name: {"value": each.value, "range": [*(each.range or ())]}
        for each in parameters
        for name in (*(k for role in ROLES for k in _list_knots(each.name, role, knots)), f"{each.name}{_MARK}{REST}")
    }
    lines = "".join(f"\n  {name}: {json.dumps(value)}" for name, value in found.items())
    lines += "".join(f"\n  {each}" for each in kept)
    start, stop = node.start_mark.index, node.end_mark.index
    start = text.rindex(":", 0, start) + 1
    return start, stop, lines + ("\n" if text[stop - 1 : stop] == "\n" else "")
