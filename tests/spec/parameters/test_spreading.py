"""Spreading: one parameter becomes a few knots, and with equal knots the stack is the same as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.compose import load_text
from stacker.errors import SpecError
from stacker.spec.parameters.spreading import find_group, spread_parameters
from stacker.spec.parser import parse_spec
from tests.live.lives import write_donors

TEXT = """stacker: 1
name: mix  # a comment stays
donors: {a: ./a, b: ./b}
parameters:
  cut: 2
  t: {value: 0.3, range: [0, 1.0]}
stack:
  - a[0:${cut}]
  - blend: ["a[2:6]", "b[2:6]"]
    op: slerp
    t: ${t}
embed: {blend: [a, b], op: slerp, t: "${t}"}
"""


def spread(text: str, knots: int) -> str:
    wide = [each for each in parse_spec(text, "mix.yml").parameters if each.range]
    return spread_parameters(text, wide, knots)


def test_names_are_grouped() -> None:
    """A spread parameter belongs to the group of the one that it was spread from, any other to its own."""
    names = [each.name for each in parse_spec(spread(TEXT, 2), "mix.yml").parameters]
    assert names == ["t__attn1", "t__attn2", "t__mlp1", "t__mlp2", "t__rest", "cut"]
    assert [find_group(name) for name in names] == ["t"] * 5 + ["cut"]
    assert "# a comment stays" in spread(TEXT, 2)


@pytest.mark.parametrize("knots", [1, 2, 3])
def test_equal_knots_change_nothing(tmp_path: Path, knots: int) -> None:
    """As long as all knots have the parameter's value, every tensor is computed as before."""
    write_donors(tmp_path)
    before, after = (load_text(text.encode(), tmp_path / "mix.yml") for text in (TEXT, spread(TEXT, knots)))
    assert after.plan().steps == before.plan().steps


def test_each_knot_is_a_parameter(tmp_path: Path) -> None:
    """A knot changes only tensors of its role; the rest is the embedding's."""
    write_donors(tmp_path)
    stack = load_text(spread(TEXT, 2).encode(), tmp_path / "mix.yml")
    steps = {step.tensor.name: step for step in stack.plan().steps}
    for name, part in (("t__attn2", "self_attn"), ("t__mlp1", "mlp"), ("t__rest", "embed")):
        changed = {step.tensor.name for step in stack.bind({name: 0.9}).plan().steps if steps[step.tensor.name] != step}
        assert changed
        assert all(part in each or (part == "embed" and "norm" in each) for each in changed)


@pytest.mark.parametrize(
    ("old", "new"), [("t: ${t}", "t: ${t+0.1}"), ("t: ${t}", 't: ["${t}", "${1-t}"]')], ids=["sum", "list"]
)
def test_parts_of_sums_are_refused(old: str, new: str) -> None:
    """A parameter inside a sum cannot be spread."""
    with pytest.raises(SpecError, match="cannot be spread"):
        spread(TEXT.replace(old, new), 2)
