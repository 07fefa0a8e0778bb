"""Which values a parameter takes from outside."""

from __future__ import annotations

import numpy as np
import pytest

from stacker.errors import SpecError
from stacker.spec.parameters.space import Kind, ParameterValue, SpecParameter, set_value

CUT = SpecParameter("cut", 16, (8, 24), 4)
T = SpecParameter("t", 0.5, (0, 1))
OP = SpecParameter("op", "slerp", choices=("linear", "slerp", 2, True))


@pytest.mark.parametrize(
    ("parameter", "given", "value"),
    [
        pytest.param(CUT, "12", 12, id="text"),
        pytest.param(CUT, 12.0, 12, id="whole-float"),
        pytest.param(CUT, np.int64(9), 9, id="numpy"),
        pytest.param(T, "1", 1.0, id="whole-for-a-fraction"),
        pytest.param(T, np.float32(0.25), 0.25, id="numpy-float"),
        pytest.param(SpecParameter("word", "a"), "5", "5", id="word-like-a-number"),
        pytest.param(SpecParameter("on", value=True), "false", False, id="truth"),
        pytest.param(OP, "linear", "linear", id="choice"),
        pytest.param(OP, "2", 2, id="number-among-choices"),
        pytest.param(OP, "true", True, id="truth-among-choices"),
    ],
)
def test_values(parameter: SpecParameter, given: object, value: ParameterValue) -> None:
    """A value comes in the parameter's own type, and is marked as set from outside."""
    found = set_value(parameter, given)
    assert (found.value, type(found.value), found.is_set) == (value, type(value), True)


@pytest.mark.parametrize(
    ("parameter", "given", "message"),
    [
        (CUT, "12.5", "takes a whole number"),
        (CUT, "x", "takes a whole number"),
        (CUT, True, "takes a whole number"),
        (CUT, 25, r"outside its range \[8, 24\]"),
        (T, "nan", "takes a number"),
        (T, ".nan", "finite"),
        (T, "-0.1", "outside its range"),
        (SpecParameter("n", 1.0), "1" + "0" * 350, "finite"),
        (SpecParameter("n", 1), 10**16, "too large"),
        (SpecParameter("word", "a"), "a\nb", "printable"),
        (SpecParameter("word", "a"), " ", "printable"),
        (SpecParameter("word", "a"), "a" * 201, "longer than 200"),
        (SpecParameter("word", "a"), 5, "takes a word"),
        (SpecParameter("word", "a"), None, "takes a word"),
        (OP, 1, "is one of"),
        (OP, "lerp", "is one of linear, slerp"),
    ],
)
def test_refused(parameter: SpecParameter, given: object, message: str) -> None:
    """A value of another type, outside the range or beside the choices is refused; true is not 1."""
    with pytest.raises(SpecError, match=message):
        set_value(parameter, given)


def test_kinds() -> None:
    """Only if everything is written as whole numbers does a parameter take whole numbers only."""
    numbers = (SpecParameter("n", 0, (0, 1)), SpecParameter("n", 0.0, (0, 1)), SpecParameter("n", 0, (0, 1), 0.1))
    assert [each.kind for each in numbers] == [Kind.WHOLE, Kind.NUMBER, Kind.NUMBER]
