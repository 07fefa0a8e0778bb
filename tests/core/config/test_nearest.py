"""The stack that a hint suggests passes every rule and changes as few layers as it can."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import parse_formula
from stacker.core.config.layer_entries import apply_layer_rules
from stacker.core.config.refusals import OutputLayer
from stacker.core.values.donor import Donor
from tests.core.stacks import make_donor

ODD = LayerRule("odd", "", WriteKind.POSITION, (parse_formula("i % 2"),))
FIRST = LayerRule("first", "k", WriteKind.PREFIX, (parse_formula("i < 2"),))
HYBRID = (parse_formula("i in [1, 4]"),)


def donors_with(*rules: LayerRule) -> dict[str, Donor]:
    """Two llamas of six layers with these rules."""
    found = {name: make_donor(name) for name in "ab"}
    return {name: replace(each, architecture=replace(each.architecture, rules=rules)) for name, each in found.items()}


def proposed(donors: dict[str, Donor], stack: str) -> str:
    """The stack that the first hint suggests instead of one such as `a0 b3`; "" if there is none."""
    outputs = [
        OutputLayer(index, tuple((donors[one[0]], int(one[1:])) for one in each.split("+")))
        for index, each in enumerate(stack.split())
    ]
    problems = apply_layer_rules(donors["a"], outputs).problems
    assert problems
    found = re.search(r"a stack that works: (.*)", problems[0].hint)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("rules", "stack", "works"),
    [
        ((ODD,), "a0 a3 a3 a3", "a[0:1], a[3:4], a[2:4]"),
        ((FIRST,), "a3 a0 a4", "a[1:3], a[4:5]"),
        ((ODD, FIRST), "a1 a0 a3 a3", "a[0:4]"),
    ],
    ids=["parity", "dense layers first", "two rules at once"],
)
def test_layers_are_exchanged_for_near_ones(rules: tuple[LayerRule, ...], stack: str, works: str) -> None:
    """A misplaced layer is exchanged for the nearest layer of its donor that fits there."""
    assert proposed(donors_with(*rules), stack) == works


@pytest.mark.parametrize(
    ("kind", "stack", "works"),
    [
        (WriteKind.SHARED, "a0 a1 b4 a5", "a[0:2], a[4:6]"),
        (WriteKind.WHOLE, "a0 a1 b4 a5", "a[0:2], a[4:6]"),
        (WriteKind.WHOLE, "a1 b4 b1 b5", "a[1:2], a[4:5], b[0:1], b[5:6]"),
    ],
)
def test_layers_that_belong_together(kind: WriteKind, stack: str, works: str) -> None:
    """Layers that share tensors are exchanged for those of the donor that comes first."""
    assert proposed(donors_with(LayerRule("hybrid", "", kind, HYBRID)), stack) == works


@pytest.mark.parametrize("stack", ["a0 a1 a2 a3 a4 a5 a5", "a0 a1+b2"], ids=["deeper than any donor", "a blend"])
def test_no_stack_is_proposed_that_does_not_work(stack: str) -> None:
    """Where no exchange of layers helps, the hint suggests none."""
    donors = donors_with(LayerRule("output", "", WriteKind.POSITION, (parse_formula("i"),)))
    assert proposed(donors, stack) == ""


def test_a_rule_that_is_kept_counts_too() -> None:
    """A layer is not exchanged for one that another rule would refuse."""
    last = LayerRule("last", "", WriteKind.LAST, (parse_formula("i > 3"),))
    assert proposed(donors_with(ODD, last), "a0 a4") == "a[0:1], a[5:6]"
