"""Masks of whole integers do what comparisons would, on every kind of number that has bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacker.ops.consensus import elected
from stacker.ops.masks import MOST, above, below, bits_of, chosen, keep, negative, swap_in

NUMBERS = st.lists(st.integers(0, MOST), min_size=1, max_size=20)
KINDS = [torch.float32, torch.float64]
ODD = [0.0, -0.0, 1.5, -2.0, torch.inf, -torch.inf, torch.nan]


@given(NUMBERS, st.integers(0, MOST))
def test_below_and_above_are_comparisons(numbers: list[int], bound: int) -> None:
    """To the ends of what int32 holds."""
    tensor = torch.tensor(numbers, dtype=torch.int32)
    assert below(tensor, bound).equal(chosen(tensor < bound))
    assert above(tensor, bound).equal(chosen(tensor > bound))
    assert above(tensor, -1).equal(torch.full_like(tensor, -1))


def test_magnitudes_in_order() -> None:
    """NaN is the greatest of all."""
    assert bits_of(torch.tensor([-torch.nan, torch.inf, -2.0, 1.5, -0.0])).argsort().tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_keep_drops_even_nan(kind: torch.dtype) -> None:
    """What is outside is +0, what is inside has its bits."""
    values = torch.tensor(ODD, dtype=kind)
    mask = torch.tensor([-1, -1, -1, 0, 0, -1, 0], dtype=torch.int32)
    expected = torch.where(mask.bool(), values, torch.zeros_like(values))
    assert keep(values.clone(), mask).equal(expected)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_swap_in(kind: torch.dtype) -> None:
    """Where the first is negative, the second."""
    values, others = torch.tensor(ODD, dtype=kind), torch.arange(7, dtype=kind)
    swapped = swap_in(values.clone(), others.clone(), negative(values.clone()))
    torch.testing.assert_close(swapped, torch.where(values.signbit(), others, values), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_election_of_signs(kind: torch.dtype) -> None:
    """A sum of 0 elects +; what nothing agrees with is 0, also divided."""
    found = [torch.tensor(row, dtype=kind) for row in ([3.0, -1.0, 2.0, 0.0], [-1.0, -2.0, -2.0, 0.0])]
    assert elected(found, [1.0, 1.0], None).tolist() == [3.0, -3.0, 2.0, 0.0]
    assert elected(found, [1.0, 2.0], [1.0, 2.0]).tolist() == [3.0, pytest.approx(-5 / 3), 2.0, 0.0]
