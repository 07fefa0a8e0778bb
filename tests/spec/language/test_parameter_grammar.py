"""Parameters in the native language, and how their levels combine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import Mark, Problem
from stacker.spec.language.parameter_grammar import combine_levels, drop_unreachable, parse_scale, parse_setting
from stacker.spec.language.stack_spec import Gradient, Parameter, Rule
from stacker.text.node import Mapping, get_child
from stacker.text.yaml import read_yaml
from tests.spec.meaning import _value
from tests.strategies import parameters


def rules_of(text: str) -> tuple[Rule, ...]:
    found: list[Problem] = []
    node = read_yaml(f"t: {text}", "s")
    assert isinstance(node, Mapping)
    setting = parse_setting("t", get_child(node, "t"), Mark("s"), found)
    assert found == []
    return setting.parameter.rules


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        pytest.param("1", (Rule("*", 1.0),), id="number"),
        pytest.param("[0, 1e-1]", (Rule("*", Gradient((0.0, 0.1))),), id="gradient"),
        pytest.param("[1]", (Rule("*", Gradient((1.0,))),), id="one-knot"),
        pytest.param("true", (Rule("*", True),), id="flag"),
        pytest.param("sum", (Rule("*", "sum"),), id="word"),
        pytest.param(
            "{default: 1, attn.o: [0]}", (Rule("attn.o", Gradient((0.0,))), Rule("*", 1.0)), id="default-last"
        ),
        pytest.param(
            '{mlp: 1, "*x*": 2, mlp.up: 3}', (Rule("mlp", 1.0), Rule("*x*", 2.0), Rule("mlp.up", 3.0)), id="in-order"
        ),
    ],
)
def test_forms(text: str, rules: tuple[Rule, ...]) -> None:
    """A number, a gradient, a flag, a word; a mapping keeps its order, `default` goes last."""
    assert rules_of(text) == rules


def test_scale_is_numeric() -> None:
    """Flags and words among factors are problems."""
    found: list[Problem] = []
    parse_scale(get_child(read_yaml("s: {a: 1, b: yes, c: true}", "s"), "s"), found)
    assert [problem.message for problem in found] == [
        "'scale' must be a number, not yes",
        "'scale' must be a number, not true",
    ]


@given(
    st.lists(parameters(), max_size=4), st.sampled_from([("attn.o", "m.o_proj.w"), ("mlp.down", "m.mlp.w"), ("x", "y")])
)
def test_nearest_first(levels: list[Parameter], sample: tuple[str, str]) -> None:
    """Each tensor gets the value of the nearest level with a value for it."""
    values = (_value(level, sample, 0, 2) for level in levels)
    expected = next((value for value in values if value is not None), None)
    together = combine_levels(*levels, None)
    assert (None if together is None else _value(together, sample, 0, 2)) == expected


@given(parameters(), parameters())
def test_canonical(one: Parameter, other: Parameter) -> None:
    """Unreachable rules are dropped: repeated matches, and all after the rule for everything."""
    matches = [rule.match for rule in drop_unreachable(one.rules + other.rules)]
    assert len(set(matches)) == len(matches)
    assert "*" not in matches[:-1]
