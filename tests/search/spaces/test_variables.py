"""Variables: their shares and values, and spaces from ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.search.spaces.variables import Variable, make_space

SPACE = make_space({"t": (0.0, 2.0), "cut": (8, 24), "op": ("linear", "slerp", "ties"), "on": ("yes", "no")})


def test_ranges_become_variables() -> None:
    """Two floats bound a range, two whole numbers all between them, anything else is a list of choices."""
    t, cut, op, on = SPACE.variables
    assert (t.is_continuous, t.start) == (True, 1.0)
    assert (cut.choices, cut.start, cut.is_ordered) == (tuple(range(8, 25)), 16, True)
    assert (op.is_ordered, op.start) == (False, "linear")
    assert not on.is_ordered


@given(st.floats(0, 1), st.sampled_from(SPACE.variables))
def test_a_share_gives_a_value_and_back(share: float, variable: Variable) -> None:
    """The share of a value at a share is the nearest that the variable has."""
    step = 1 / (len(variable.choices) - 1) if variable.choices else 2e-6
    assert abs(variable.share_of(variable.at(share)) - share) <= step / 2 + 1e-9


def test_groups_move_together() -> None:
    """All variables of a group are set at one share, others keep their values."""
    space = make_space({"t__attn1": (0.0, 1.0), "t__mlp1": (0.0, 2.0), "s": (0.0, 1.0)})
    variables = tuple(
        Variable(each.name, each.start, each.low, each.high, group=each.name[0]) for each in space.variables
    )
    grouped = type(space)(variables)
    assert grouped.groups == ("t", "s")
    assert grouped.set_groups(grouped.start, {"t": 1.0}) == {"t__attn1": 1.0, "t__mlp1": 2.0, "s": 0.5}


@pytest.mark.parametrize("values", [(), (1.0,), (2.0, 1.0), (1.0, 1.0)])
def test_empty_ranges_are_refused(values: tuple[float, ...]) -> None:
    """A range without two values in order is an error with the variable's name."""
    with pytest.raises(SpecError, match="'t'"):
        make_space({"t": values})
