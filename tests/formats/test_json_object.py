"""JSON files of donors: what is accepted, and the errors for the rest."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import DonorError
from stacker.formats.json_object import parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.booleans())
def test_reads_what_json_writes(value: dict[str, object], ascii_only: bool) -> None:
    """Any object without NaN comes back as it was, escaped or not."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_object(data, "config.json") == json.loads(text)


def test_infinity_is_a_value() -> None:
    """State-space models have a time step without bound."""
    assert parse_object(b'{"time_step_limit": [0.0, Infinity]}', "f") == {"time_step_limit": [0.0, math.inf]}


def test_a_repeated_key_with_one_value_is_harmless() -> None:
    """Only contradictions are refused."""
    assert parse_object(b'{"a": 1, "a": 1}', "f") == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a": "\\udc00"}', "not valid JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html></html>", "web page"),
    ],
    ids=["empty", "list", "NaN", "digits", "twice", "nesting", "not UTF-8", "BOM", "surrogate", "LFS", "HTML"],
)
def test_refuses_what_is_no_config(data: bytes, message: str) -> None:
    """Every kind of malformed file has its own message, with the file's name."""
    with pytest.raises(DonorError, match=message) as caught:
        parse_object(data, "a/config.json")
    assert str(caught.value).startswith("a/config.json: ")
