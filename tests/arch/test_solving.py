"""Rules over the layer index, saved as numbers: the numbers are found anew wherever there are any."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import parse_formula
from stacker.arch.layer_rules import solve_entries

PERIOD: dict[str, Any] = {"period": 4, "offset": 2}
BETWEEN: dict[str, Any] = {"every": 1, "start": 1, "end": -1}


def rule(read: str, **over: str) -> LayerRule:
    """A rule to be solved."""
    allowed = tuple((key, parse_formula(text)) for key, text in over.items())
    return LayerRule("r", "", WriteKind.SOLVE, (parse_formula(read),), over=allowed)


PERIODIC = rule("i % period == offset", period="range(depth + 2)", offset="range(period)")
INTERVAL = rule(
    "(i + 1) % every == 0 and i >= start and i <= (end if end >= 0 else depth - 1)",
    every="range(depth + 2)", start="[first]", end="[last]",
)  # fmt: skip


@pytest.mark.parametrize(
    ("places", "depth", "entries"),
    [
        ([2, 6], 8, PERIOD),
        ([1, 4, 7], 8, {"period": 3, "offset": 1}),
        ([5], 6, {"period": 6, "offset": 5}),
        ([], 3, {"period": 4, "offset": 3}),
        ([0, 1, 2], 3, {"period": 1, "offset": 0}),
    ],
    ids=["as it was", "another period", "a single one", "none", "all"],
)
def test_periods(places: list[int], depth: int, entries: dict[str, int]) -> None:
    """A period and an offset that give exactly these places; the config's own where they do."""
    found = solve_entries(PERIODIC, PERIOD, [index in places for index in range(depth)])
    given_places = [i for i in range(depth) if i % found.entries["period"] == found.entries["offset"]]  # type: ignore[operator] # numbers here
    assert given_places == places
    assert not found.misfits
    if entries is PERIOD or len(places) != 1:
        assert found.entries == entries


@pytest.mark.parametrize(
    ("places", "depth", "entries"),
    [
        ([1, 2, 3], 4, BETWEEN),
        ([2, 3, 4], 8, {"every": 1, "start": 2, "end": 4}),
        ([3, 5, 7], 8, {"every": 2, "start": 3, "end": 7}),
    ],
    ids=["as it was", "another stretch", "another interval"],
)
def test_intervals(places: list[int], depth: int, entries: dict[str, int]) -> None:
    """Three numbers at once; where the places begin and end is known without a search."""
    found = solve_entries(INTERVAL, BETWEEN, [index in places for index in range(depth)])
    assert (found.entries, found.misfits) == (entries, ())


def test_no_layer_between() -> None:
    """That there is no such layer at all can be said as well."""
    assert not solve_entries(INTERVAL, BETWEEN, [False] * 5).misfits


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_a_solution_is_found_wherever_there_is_one(values: list[bool]) -> None:
    """Misfits remain only where the places of the true layers have no common distance."""
    places = [index for index, value in enumerate(values) if value]
    gaps = {after - before for before, after in pairwise(places)}
    gap = min(gaps, default=len(values))
    periodic = len(gaps) <= 1 and (len(places) < 2 or (places[0] < gap and places[-1] + gap >= len(values)))
    assert bool(solve_entries(PERIODIC, PERIOD, values).misfits) is not periodic


def test_the_best_that_can_be_done() -> None:
    """Without a solution, the entries are those that fewest places contradict."""
    found = solve_entries(PERIODIC, PERIOD, [True, False, True, False, True, True])
    assert (found.entries, found.misfits) == ({"period": 2, "offset": 0}, (5,))
