"""Writes values of parameters into the text of a spec. All other characters stay, comments too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from stacker.spec.parameters.space import ParameterValue, format_value
from stacker.spec.parameters.substitution import MERGEKIT_KEY, NATIVE_KEY
from stacker.text.scalars import parse_plain

_SIMPLE = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the value of a parameter is written: characters [start, stop) of the text."""

    name: str
    start: int
    stop: int


def fill_values(text: str, values: Mapping[str, ParameterValue]) -> str:
    """The text with other values in its declarations of parameters; a value behind an anchor or alias is left as it is.

    The text must be a spec without errors.
    """
    parts: list[str] = []
    end = 0
    for place in _find_places(text):
        if place.name in values:
            parts += (text[end : place.start], write_value(values[place.name]))
            end = place.stop
    return "".join((*parts, text[end:]))


def write_value(value: ParameterValue) -> str:
    """A value as YAML that is read back as the same value, also inside brackets."""
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}"
    if not isinstance(value, str):
        return format_value(value)
    plain = _SIMPLE.fullmatch(value) and parse_plain(value) == value and value.lower() not in _WORDS_OF_1_1
    return value if plain else json.dumps(value, ensure_ascii=False)


_WORDS_OF_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})


_IN_LIST = "[]"
"""Stands for the key of the items of a list, which have none."""


def _find_places(text: str) -> Iterator[_Place]:
    """The places of all values, in the order of the text."""
    path: list[str | None] = []
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            path.append(_IN_LIST if isinstance(event, yaml.SequenceStartEvent) else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            path.pop()
            _end_value(path)
        elif isinstance(event, yaml.NodeEvent) and path and path[-1] is None:
            path[-1] = event.value if isinstance(event, yaml.ScalarEvent) else ""
        elif isinstance(event, yaml.NodeEvent):
            name = _find_declared(path)
            start, stop = event.start_mark, event.end_mark
            if name and start and stop and isinstance(event, yaml.ScalarEvent) and event.anchor is None:
                yield _Place(name, start.index, stop.index)
            _end_value(path)


def _end_value(path: list[str | None]) -> None:
    """After a value, a mapping goes on with its next key, which is not known yet."""
    if path and path[-1] != _IN_LIST:
        path[-1] = None


def _find_declared(path: list[str | None]) -> str | None:
    """The parameter whose value is at a path of keys; None if that is something else."""
    match path:
        case (top, str(name)) if top in (NATIVE_KEY, MERGEKIT_KEY):
            return name
        case (top, str(name), "value") if top in (NATIVE_KEY, MERGEKIT_KEY):
            return name
        case _:
            return None
