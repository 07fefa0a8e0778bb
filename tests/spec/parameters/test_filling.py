"""Values written into a spec's text; PyYAML reads them back."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.spec.parameters.filling import fill_values, write_value
from stacker.spec.parser import parse_spec, write_parameters
from stacker.text.node import to_data
from stacker.text.yaml import read_yaml

SPEC = """\
# a comment
stacker: 1
name: n
parameters:
  cut: 16          # where it is cut
  t: {value: 0.5, range: [0, 1]}  # how much
  op:
    choices: [linear, slerp]
    value: "slerp" # which
donors: {a: x/y}   # cut: 3
stack:
  - blend: ["a[0:${cut}]", "a[0:${cut}]"]
    op: ${op}
    t: ${t}
  - slice: a       # value: 5
"""


def test_comments_stay() -> None:
    """Only the values change, whatever way they are declared in."""
    expected = SPEC.replace("cut: 16 ", "cut: 12 ").replace("value: 0.5", "value: 1.0").replace('"slerp"', "linear")
    assert fill_values(SPEC, {"cut": 12, "t": 1.0, "op": "linear"}) == expected


def test_a_written_spec_is_the_same() -> None:
    """A text with values set from outside, written and read again, is an equal spec."""
    given_values = {"cut": "12", "t": 0.1, "op": "linear"}
    spec = parse_spec(SPEC, "s.yml", given_values)
    written = write_parameters(SPEC.encode(), spec)
    assert parse_spec(written, "s.yml") == spec
    assert b"# where it is cut" in written


def test_without_values_the_bytes_stay() -> None:
    """A spec whose parameters were not set is written as it was, byte for byte."""
    text = SPEC.replace("\n", "\r\n").encode()
    assert write_parameters(text, parse_spec(text, "s.yml")) is text


@pytest.mark.parametrize(
    "declared",
    ["{cut: &c 16}", "{cut: {value: &c 16}}", "{other: &c 3, cut: *c}", "{<<: {cut: 16}}"],
    ids=["anchor", "anchored-value", "alias", "merged"],
)
def test_anchors(declared: str) -> None:
    """A value that other places may share is not written over: the spec says so instead of changing those places."""
    text = f'stacker: 1\nparameters: {declared}\ndonors: {{a: x/y}}\nstack: ["a[0:${{cut}}]"]\nstacks: {{s: [a]}}\n'
    text = text if "&c" in declared else text.replace("{a: x/y}", "&c {a: x/y}")
    spec = parse_spec(text, "s.yml", {"cut": 5})
    with pytest.raises(SpecError, match="an anchor or alias is there"):
        write_parameters(text.encode(), spec)


WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30)


NUMBERS = st.one_of(st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False))


@given(st.one_of(st.booleans(), NUMBERS, WORDS))
def test_values_are_read_back(value: bool | float | str) -> None:
    """A written value is read back with the same type, as a block value and inside brackets; PyYAML agrees on words."""
    text = f"a: {write_value(value)}\nb: [{write_value(value)}, {{c: {write_value(value)}}}]\n"
    data = to_data(read_yaml(text, "s.yml"))
    assert data == {"a": value, "b": [value, {"c": value}]}
    assert isinstance(data, dict)
    assert type(data["a"]) is type(value)
    if isinstance(value, str):
        assert yaml.safe_load(text) == data
