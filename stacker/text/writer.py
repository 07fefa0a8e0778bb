"""Data as YAML that readers of 1.1 and of 1.2 understand alike: what either would take for something else is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.text.node import Plain


@dataclass(frozen=True, slots=True)
class Flow:
    """A list or mapping to be written on one line, in brackets."""

    value: Tree


Tree = Plain | Flow | Sequence["Tree"] | Mapping[str, "Tree"]
_WORD = re.compile(r"[A-Za-z_](?:[\w./@+-]*[\w/])?", re.ASCII)
_SLICE = re.compile(r"[A-Za-z_][\w.-]*\[[0-9:]+\]", re.ASCII)
_PATH = re.compile(r"\.{0,2}/[\w./@+-]*[\w/]", re.ASCII)
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_yaml(data: Mapping[str, Tree]) -> str:
    """The text of one document."""
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(value: Tree) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _entry(_text(key, slices=False), below)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            lead, *rest = [_one_line(item)] if _fits(item) else _lines(item)
            yield f"- {lead}"
            yield from (f"  {line}" for line in rest)


def _entry(key: str, value: Tree) -> Iterator[str]:
    if _fits(value):
        yield f"{key}: {_one_line(value)}"
        return
    yield f"{key}:"
    yield from (f"  {line}" for line in _lines(value))


def _fits(value: Tree) -> bool:
    return not value or isinstance(value, Flow | str | int | float)


def _one_line(value: Tree) -> str:
    return _scalar(value, slices=True) if isinstance(value, str) else _flow(value)


def _flow(value: Tree) -> str:
    match value:
        case Flow(inner):
            return _flow(inner)
        case Mapping():
            return f"{{{', '.join(f'{_text(key, slices=False)}: {_flow(below)}' for key, below in value.items())}}}"
        case str() | None | bool() | int() | float():
            return _scalar(value, slices=False)
        case _:
            return f"[{', '.join(map(_flow, value))}]"


def _scalar(value: Plain, *, slices: bool) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value, slices=slices)
        case int():
            return str(value)
        case float():
            return _number(value)


def _number(value: float) -> str:
    """Shortest digits that read back the same; with a point, which YAML 1.1 wants beside an exponent."""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa}{'.0' if exponent and '.' not in mantissa else ''}{exponent}{power}"


def _text(text: str, *, slices: bool) -> str:
    plain = _WORD.fullmatch(text) or _PATH.fullmatch(text) or (slices and _SLICE.fullmatch(text))
    if plain and text.lower() not in _RESERVED:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES or char.isprintable():
        return _ESCAPES.get(char, char)
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
