"""How a layer's value is read from its donor's config, and how the values of a stack are written or solved for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError, parse_formula
from stacker.arch.layer_rules import build_entry, is_applicable, read_layer_properties, read_layer_value, solve_entries
from stacker.formats.json_object import Json


def rule(*read: str, when: str | None = None, name: str = "r") -> LayerRule:
    """A list rule with these readers."""
    condition = parse_formula(when) if when else None
    return LayerRule(name, "k", WriteKind.LIST, tuple(map(parse_formula, read)), condition)


def test_the_first_reader_with_a_value_speaks() -> None:
    """A missing list, a null or an index past the end falls through to the next formula."""
    readers = rule("kinds[i]", "'last' if i == 2 else None", "'odd' if i % 2 else 'even'")
    values = [read_layer_value(readers, {"kinds": ["x"]}, index) for index in range(4)]
    assert values == ["x", "odd", "last", "odd"]


def test_a_layer_without_a_value() -> None:
    """If no formula has a value, the error is the last one's."""
    with pytest.raises(FormulaError, match="no 'size'"):
        read_layer_value(rule("kinds[i]", "size"), {}, 0)


@pytest.mark.parametrize(
    ("when", "names", "applies"),
    [(None, {}, True), ("x", {"x": 1}, True), ("x", {"x": 0}, False), ("x", {}, False), ("x > 1", {"x": "a"}, False)],
)
def test_conditions(when: str | None, names: dict[str, Any], applies: bool) -> None:
    """A rule applies if its condition is true; a missing name makes it false."""
    assert is_applicable(rule("i", when=when), names) is applies


def test_properties_are_the_values_that_can_be_told() -> None:
    """Rules that do not apply or have no value are left out."""
    rules = [rule("i + 1", name="a"), rule("gone", name="b"), rule("i", when="gone", name="c")]
    assert read_layer_properties(rules, {}, 4) == {"a": 5}


@pytest.mark.parametrize(
    ("kind", "values", "result"),
    [
        (WriteKind.LIST, ["a", "b"], ["a", "b"]),
        (WriteKind.INDICES, [True, False, 1], [0, 2]),
        (WriteKind.PREFIX, [True, True, False], 2),
        (WriteKind.MAPPING, [{"x": 1}, {}, {"y": 2}], {"0": {"x": 1}, "2": {"y": 2}}),
        (WriteKind.RUNS, ["a", "b"], [[["a", "b"], 1]]),
        (WriteKind.CONSTANT, [1, 1], None),
        (WriteKind.POSITION, [0, 1], None),
    ],
)
def test_ways_to_write(kind: WriteKind, values: list[Json], result: Json) -> None:
    """Each kind writes the layers' values in its own form."""
    assert build_entry(kind, values) == result


@given(st.lists(st.booleans()))
def test_index_sets_read_back(values: list[bool]) -> None:
    """Values written as layer indices are read back the same."""
    names = {"k": build_entry(WriteKind.INDICES, values)}
    assert [read_layer_value(rule("i in k"), names, index) for index in range(len(values))] == values


PERIOD: dict[str, Any] = {"period": 4, "offset": 2}
BETWEEN: dict[str, Any] = {"every": 1, "start": 1, "end": -1}


def solved(read: str, **over: str) -> LayerRule:
    """A rule of kind solve."""
    allowed = tuple((key, parse_formula(text)) for key, text in over.items())
    return LayerRule("r", "", WriteKind.SOLVE, (parse_formula(read),), over=allowed)


PERIODIC = solved("i % period == offset", period="range(depth + 2)", offset="range(period)")
INTERVAL = solved(
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
    """The solution reproduces exactly these indices, and is the config's own if that does."""
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
    """Three entries are solved at once; first and last need no search."""
    found = solve_entries(INTERVAL, BETWEEN, [index in places for index in range(depth)])
    assert (found.entries, found.misfits) == (entries, ())


def test_no_layer_between() -> None:
    """Entries for no layer at all are found too."""
    assert not solve_entries(INTERVAL, BETWEEN, [False] * 5).misfits


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_a_solution_is_found_wherever_there_is_one(values: list[bool]) -> None:
    """Misfits remain only if the true layers are not at equal distances."""
    places = [index for index, value in enumerate(values) if value]
    gaps = {after - before for before, after in pairwise(places)}
    gap = min(gaps, default=len(values))
    periodic = len(gaps) <= 1 and (len(places) < 2 or (places[0] < gap and places[-1] + gap >= len(values)))
    assert bool(solve_entries(PERIODIC, PERIOD, values).misfits) is not periodic


def test_the_best_that_can_be_done() -> None:
    """Without a solution, the entries have the fewest misfits."""
    found = solve_entries(PERIODIC, PERIOD, [True, False, True, False, True, True])
    assert (found.entries, found.misfits) == ({"period": 2, "offset": 0}, (5,))
