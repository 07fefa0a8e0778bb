"""What a layer's value is in its donor, and how the values of a stack are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError, parse_formula
from stacker.arch.layer_rules import build_entry, is_applicable, read_layer_properties, read_layer_value
from stacker.formats.json_object import Json


def rule(*read: str, when: str | None = None, name: str = "r") -> LayerRule:
    """A list rule with these readers."""
    condition = parse_formula(when) if when else None
    return LayerRule(name, "k", WriteKind.LIST, tuple(map(parse_formula, read)), condition)


def test_the_first_reader_with_a_value_speaks() -> None:
    """A missing list, a null and an index past the end leave it to the next reader."""
    readers = rule("kinds[i]", "'last' if i == 2 else None", "'odd' if i % 2 else 'even'")
    values = [read_layer_value(readers, {"kinds": ["x"]}, index) for index in range(4)]
    assert values == ["x", "odd", "last", "odd"]


def test_a_layer_without_a_value() -> None:
    """When no reader has a value, the last one's reason is told."""
    with pytest.raises(FormulaError, match="no 'size'"):
        read_layer_value(rule("kinds[i]", "size"), {}, 0)


@pytest.mark.parametrize(
    ("when", "names", "applies"),
    [(None, {}, True), ("x", {"x": 1}, True), ("x", {"x": 0}, False), ("x", {}, False), ("x > 1", {"x": "a"}, False)],
)
def test_conditions(when: str | None, names: dict[str, Any], applies: bool) -> None:
    """A rule holds where its condition does; a missing name makes it false."""
    assert is_applicable(rule("i", when=when), names) is applies


def test_properties_are_the_values_that_can_be_told() -> None:
    """Rules that do not hold, or have no value here, say nothing."""
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
    """Each way puts the layers' values into the config in its form."""
    assert build_entry(kind, values) == result


@given(st.lists(st.booleans()))
def test_index_sets_read_back(values: list[bool]) -> None:
    """What is written as an index set is read as the same values."""
    names = {"k": build_entry(WriteKind.INDICES, values)}
    assert [read_layer_value(rule("i in k"), names, index) for index in range(len(values))] == values
