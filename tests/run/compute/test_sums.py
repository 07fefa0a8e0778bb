"""Sums from many hands, whatever the order they come in."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from stacker.run.compute.sums import Tally


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_numbers_are_added_exactly(values: list[float]) -> None:
    """The sum is the one rounding of the true one, column by column."""
    tally = Tally()
    for order, value in enumerate(values):
        tally.add(order, [[value, 1.0]])
    assert tally.total() == [math.fsum(values), len(values)]


@given(st.permutations(range(6)))
def test_arrays_are_added_in_the_order_of_the_pieces(order: list[int]) -> None:
    """Rounding is that of the pieces one after the other, however they came."""
    values = [np.array([10.0 ** (3 * number), -0.1]) for number in range(6)]
    expected = sum(values[1:], values[0])
    tally = Tally()
    for number in order:
        tally.add(number, [], values[number].copy())
    assert tally.total().tolist() == expected.tolist()


def test_what_has_no_sum_is_nan() -> None:
    """Infinities of both signs, and sums past the largest number."""
    tally = Tally()
    tally.add(0, [[math.inf, 1e308], [-math.inf, 1e308]])
    assert all(map(math.isnan, tally.total()))
