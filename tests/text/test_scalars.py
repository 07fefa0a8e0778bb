"""Plain scalars under the core schema of YAML 1.2.2, section 10.3.2."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.text.node import Plain
from stacker.text.scalars import ScalarError, parse_plain, parse_tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("8:24", "8:24", id="no-base-sixty"),
        pytest.param("no", "no", id="no-is-text"),
        pytest.param("On", "On", id="on-is-text"),
        pytest.param("y", "y", id="y-is-text"),
        pytest.param("012", 12, id="leading-zero-is-decimal"),
        pytest.param("0o14", 12, id="octal"),
        pytest.param("0xC", 12, id="hexadecimal"),
        pytest.param("-7", -7, id="negative"),
        pytest.param("+7", 7, id="plus"),
        pytest.param("1e-4", 1e-4, id="exponent-without-point"),
        pytest.param("1E+3", 1000.0, id="capital-exponent"),
        pytest.param(".5", 0.5, id="no-leading-digit"),
        pytest.param("5.", 5.0, id="no-trailing-digit"),
        pytest.param("-.inf", -math.inf, id="infinity"),
        pytest.param(".INF", math.inf, id="capital-infinity"),
        pytest.param("1_000", "1_000", id="underscores-are-text"),
        pytest.param("0b1", "0b1", id="binary-is-text"),
        pytest.param("2024-01-01", "2024-01-01", id="date-is-text"),
        pytest.param("inf", "inf", id="bare-inf-is-text"),
        pytest.param("nan", "nan", id="bare-nan-is-text"),
        pytest.param("-", "-", id="dash-is-text"),
        pytest.param("True", True, id="true"),
        pytest.param("FALSE", False, id="false"),
        pytest.param("tRue", "tRue", id="odd-case-is-text"),
        pytest.param("~", None, id="tilde"),
        pytest.param("Null", None, id="null"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_value(text: str, value: Plain) -> None:
    """A plain scalar has the value and type that YAML 1.2 defines."""
    assert parse_plain(text) == value
    assert type(parse_plain(text)) is type(value)


def test_not_a_number() -> None:
    """`.nan` is a float that does not equal itself."""
    assert math.isnan(float(str(parse_plain(".NaN"))))


@given(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_json_scalars(value: float | bool | None) -> None:
    """Every JSON number, boolean and null has the same value in YAML 1.2."""
    assert parse_plain(json.dumps(value)) == value


def test_endless_number() -> None:
    """A number of thousands of digits is refused before Python converts it."""
    with pytest.raises(ScalarError, match="5000 digits"):
        parse_plain("9" * 5000)


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        pytest.param("12", "!", "12", id="non-specific"),
        pytest.param("no", "tag:yaml.org,2002:str", "no", id="str"),
        pytest.param("12", "tag:yaml.org,2002:float", 12.0, id="float"),
        pytest.param("12", "tag:yaml.org,2002:int", 12, id="int"),
        pytest.param("true", "tag:yaml.org,2002:bool", True, id="bool"),
    ],
)
def test_tag(text: str, tag: str, value: Plain) -> None:
    """The core schema's own tags decide the type."""
    assert parse_tagged(text, tag) == value
    assert type(parse_tagged(text, tag)) is type(value)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        pytest.param("x", "tag:yaml.org,2002:int", id="not-an-int"),
        pytest.param("true", "tag:yaml.org,2002:int", id="bool-is-no-int"),
        pytest.param("x", "tag:yaml.org,2002:python/name:os.system", id="python"),
        pytest.param("x", "!custom", id="custom"),
    ],
)
def test_bad_tag(text: str, tag: str) -> None:
    """Other tags, and values that do not match their tag, are refused."""
    with pytest.raises(ScalarError, match="tag"):
        parse_tagged(text, tag)
