"""Formulas over configs in architecture files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.arch.files.formula import FormulaError, parse_formula

NAMES: dict[str, Any] = {
    "a": 7,
    "b": 2,
    "none": None,
    "kinds": ["x", "y", "z"],
    "nested": {"inner": {"size": 5}, "0": "first"},
    "flag": True,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a * b + 1", 15),
        ("a // b", 3),
        ("-a % b", 1),
        ("a / b", 3.5),
        ("b ** 3", 8),
        ("missing | a", 7),
        ("none | b * a", 14),
        ("missing | none | 3", 3),
        ("1 < b <= 2", True),
        ("a not in [1, 2]", True),
        ("none is None", True),
        ("not flag or a == 7", True),
        ("flag and b > 2", False),
        ("'even' if a % 2 == 0 else 'odd'", "odd"),
        ("kinds[b]", "z"),
        ("kinds[-1]", "z"),
        ("len(kinds[:b])", 2),
        ("b in range(a)", True),
        ("len(kinds)", 3),
        ("int(2.9)", 2),
        ("int(kinds[0]) | 4", 4),
        ("nested.inner.size", 5),
        ("nested[str(0)]", "first"),
        ("missing | 1 < 2", True),
        ("kinds[9] | 'none'", "none"),
        ("nested[str(7)] | []", []),
        ("a // 0 | 1", 1),
    ],
)
def test_values(text: str, value: object) -> None:
    """Each form of the language has the value that Python gives it."""
    assert parse_formula(text).value(NAMES) == value


@pytest.mark.parametrize(
    "text",
    ["a +", "", "a; b", "__import__('os')", "open(a)", "len(a, b)", "[x for x in kinds]", "lambda: 1", "{1: 2}",
     "f'{a}'", "a := 1", "str(object=a)", "(a, b)", "a.b()"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """Constructs outside the language fail to parse."""
    with pytest.raises(FormulaError):
        parse_formula(text)


@pytest.mark.parametrize(
    "text", ["missing", "a // 0", "kinds[9]", "a + 'x'", "nested.none", "a.b", "none[0]", "len(a)"]
)
def test_formulas_without_a_value(text: str) -> None:
    """Missing names and failing operations raise FormulaError."""
    with pytest.raises(FormulaError):
        parse_formula(text).value(NAMES)


@pytest.mark.parametrize(
    "text",
    ["text * a", "a * text", "items * huge", "huge ** huge", "2 ** huge", "len(range(huge))", "1.5 in range(huge)"],
)
def test_formulas_stay_small(text: str) -> None:
    """No value in a config makes a formula fill the memory or run for long: it has no value instead."""
    names = {"a": 3, "huge": 10**39, "text": "x" * 4_000_000, "items": [0] * 1000}
    with pytest.raises(FormulaError):
        parse_formula(text).value(names)


@given(st.integers(-50, 50), st.integers(1, 9), st.sampled_from(["+", "-", "*", "//", "%"]))
def test_arithmetic_is_that_of_python(a: int, b: int, sign: str) -> None:
    """Integers are computed as Python computes them."""
    text = f"a {sign} b"
    assert parse_formula(text).value({"a": a, "b": b}) == eval(text, {"a": a, "b": b})


def test_formulas_are_equal_when_their_texts_are() -> None:
    """Equality ignores the parsed tree."""
    assert parse_formula("a + b") == parse_formula("a + b") != parse_formula("b + a")
