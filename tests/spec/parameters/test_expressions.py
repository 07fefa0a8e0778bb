"""Sums inside `${ }`, compared with decimal arithmetic of Python's own."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.spec.parameters.expressions import ExpressionError, compute_text, list_names, parse_pieces
from stacker.spec.parameters.space import ParameterValue

VALUES: dict[str, ParameterValue] = {"cut": 16, "t": 0.9, "donor": "a", "on": True, "half": 0.5}


def compute(text: str) -> object:
    return compute_text(parse_pieces(text), VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("${cut}", 16, id="whole"),
        pytest.param("${t}", 0.9, id="fraction"),
        pytest.param("${on}", True, id="truth"),
        pytest.param("${ cut + 8 }", 24, id="spaces"),
        pytest.param("${cut-4-2}", 10, id="from-left"),
        pytest.param("${1-t}", 0.1, id="no-rounding-of-the-difference"),
        pytest.param("${-half}", -0.5, id="negative"),
        pytest.param("${cut+half}", 16.5, id="mixed"),
        pytest.param("${1e3}", 1000.0, id="number-alone"),
        pytest.param("a[${cut}:${cut+8}]", "a[16:24]", id="slice"),
        pytest.param("${donor}[${cut}]", "a[16]", id="word-and-number"),
        pytest.param("${cut}GB", "16GB", id="in-text"),
        pytest.param("${cut}${cut}", "1616", id="two"),
        pytest.param("$${cut}", "${cut}", id="literal"),
        pytest.param("$cut", "$cut", id="no-braces"),
        pytest.param("a $ {b} }", "a $ {b} }", id="looks-so"),
    ],
)
def test_values(text: str, value: object) -> None:
    """A text that is one sum has the sum's type; any other text stays text."""
    found = compute(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${cut", "no closing"),
        ("${}", "not a sum"),
        ("${cut*2}", "not a sum"),
        ("${cut 2}", "not a sum"),
        ("${cut+}", "not a sum"),
        ("${2cut}", "not a sum"),
        ("${cut++1}", "not a sum"),
        ("${donor+1}", "only numbers"),
        ("${1+on}", "only numbers"),
        ("${-donor}", "only numbers"),
        ("${1e999}", "too large"),
    ],
)
def test_odd_expressions(text: str, message: str) -> None:
    """Anything but a sum of numbers and names is refused."""
    with pytest.raises(ExpressionError, match=message):
        compute(text)


def test_names() -> None:
    """The names in a text are found, numbers and literal text are not."""
    assert list_names(parse_pieces("${a+1}[${b-a}] $${c} 3e5")) == ("a", "b", "a")


@given(st.lists(st.decimals(-1000, 1000, places=3), min_size=1, max_size=6))
def test_sums_are_exact(numbers: list[Decimal]) -> None:
    """A sum of decimal numbers is the decimal sum, rounded once."""
    values = {f"n{at}": float(number) for at, number in enumerate(numbers)}
    text = "${" + "+".join(values) + "}"
    assert compute_text(parse_pieces(text), values) == float(sum(numbers))
