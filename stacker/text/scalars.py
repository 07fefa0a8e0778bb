"""Converts unquoted YAML scalars to values by the core schema of YAML 1.2.2, section 10.3.2.

Unlike in YAML 1.1, `no` and `8:24` are text, `012` is twelve and `1e-4` is a number.
"""

from __future__ import annotations

import re

from stacker.text.node import Plain

_PREFIX = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MOST_DIGITS = 400
_KINDS: dict[str, tuple[type, ...]] = {"null": (type(None),), "bool": (bool,), "int": (int,), "float": (float, int)}


class ScalarError(ValueError):
    """Raised for a scalar with a tag that is not allowed or does not fit the scalar, or with too many digits."""


def parse_plain(text: str) -> Plain:
    """The value of an unquoted scalar: None, a boolean or a number if it is written like one, otherwise `text` itself.

    ScalarError for an integer of more than 400 digits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return _parse_integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def parse_tagged(text: str, tag: str) -> Plain:
    """The value of a scalar with an explicit tag, such as `!!int`.

    ScalarError if the tag is not allowed or the text does not fit it.
    """
    if tag in ("!", f"{_PREFIX}str"):
        return text
    kind = tag.removeprefix(_PREFIX)
    if not tag.startswith(_PREFIX) or kind not in _KINDS:
        raise ScalarError(f"the tag {format_tag(tag)} is not allowed")
    value = parse_plain(text)
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ScalarError(f"'{text}' is not of the type its tag {format_tag(tag)} says")
    return float(value) if kind == "float" and isinstance(value, int) else value


def format_tag(tag: str) -> str:
    """A tag of the core schema in its short form, such as `!!str`. Any other tag is returned unchanged."""
    return f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag


def _parse_integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ScalarError(f"a number of {len(text)} digits")
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
