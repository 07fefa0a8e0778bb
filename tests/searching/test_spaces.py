"""Spaces of specs: variables of parameters, orders of donors that fit, and the specs that are written for them."""

from __future__ import annotations

from pathlib import Path

import pytest

import stacker
from stacker.compose import Stack, load
from stacker.errors import SpecError, select_errors
from stacker.io.donors.reader import read_donor
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import make_run, write_point
from stacker.search.spaces.variables import VariableSpace
from stacker.searching.licences import check_licences
from stacker.searching.options import Bounds
from stacker.searching.spaces import check_bounds, make_arrangement_space, make_variable
from stacker.searching.winners import write_winner
from stacker.spec.parser import parse_spec
from tests.donors import write_llama

PARAMETERS = """stacker: 1
donors: {a: ./a}
parameters:
  t: {value: 0.5, range: [0, 1.0]}
  cut: {value: 2, range: [1, 4]}
  step: {value: 0.5, range: [0.0, 1.0], step: 0.25}
  op: {value: slerp, choices: [linear, slerp]}
  size: {value: 8, choices: [8, 2, 4]}
  t__attn1: {value: 0.5, range: [0, 1.0]}
stack: ["a[0:${cut}]"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two donors that fit each other, and one that is wider."""
    write_llama(tmp_path / "a", seed=0)
    write_llama(tmp_path / "b", seed=1, layers=4)
    write_llama(tmp_path / "wide", seed=2, hidden=32)
    return tmp_path


def stack_of(home: Path, text: str, name: str = "spec.yml") -> Stack:
    path = home / name
    path.write_text(f"stacker: 1\nname: spec\ndonors: {{a: ./a, b: ./b, wide: ./wide}}\n{text}\n")
    return load(path)


def orders_of(home: Path, text: str, out: Path | None = None) -> ArrangementSpace:
    return make_arrangement_space(stack_of(home, text), out or home / "best.yml", Bounds(), read_donor)


def test_parameters_become_variables() -> None:
    """Ranges of fractions are continuous, whole numbers and steps are ordered choices, words are choices."""
    parameters = parse_spec(PARAMETERS, "spec.yml").parameters
    t, cut, step, op, size, knot = map(make_variable, parameters)
    assert (t.is_continuous, t.low, t.high, t.start) == (True, 0.0, 1.0, 0.5)
    assert (cut.choices, cut.start) == ((1, 2, 3, 4), 2)
    assert step.choices == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert (op.choices, op.is_ordered) == (("linear", "slerp"), False)
    assert size.choices == (2, 4, 8)
    assert (knot.group, t.group) == ("t", "t")


def test_plain_slices_are_the_start(home: Path) -> None:
    """A stack of plain slices is where the search starts; the donor with other shapes is left out."""
    space = orders_of(home, 'stack: ["a[0:4]", "b[2:4]"]')
    assert space.start == (*make_run("a", 0, 4), *make_run("b", 2, 4))
    assert space.depths == {"a": 6, "b": 4}
    assert space.most == 9


def test_a_blend_becomes_a_donor(home: Path) -> None:
    """A stack with a blend is a donor of the orders; each is a stack without errors, and the start has its layers."""
    text = 'stack: [{blend: ["a[0:4]", b], op: slerp, t: 0.3}]'
    space = orders_of(home, text)
    assert space.start == make_run("start", 0, 4)
    assert space.depths == {"start": 4, "a": 6, "b": 4}
    stack = space.decode(write_point((*make_run("start", 0, 3), *make_run("a", 3, 6))))
    assert not select_errors(stack.problems)
    assert len(stack.graph.layers) == 6
    whole, own = space.decode(write_point(space.start)).plan(), stack_of(home, text).plan()
    assert whole.total_parameters == own.total_parameters


def test_a_spec_names_only_what_it_needs(home: Path) -> None:
    """Donors that an order does not use are not in its spec."""
    space = orders_of(home, "stack: [a]")
    assert [each.name for each in space.write_spec(make_run("a", 0, 3)).donors] == ["a"]
    assert [each.name for each in space.write_spec(make_run("b", 0, 3)).donors] == ["a", "b"]  # a's embedding


def test_donors_are_found_from_another_folder(home: Path) -> None:
    """Specs for a file in another folder name the same donors from there."""
    (home / "out").mkdir()
    space = orders_of(home, 'stack: [{blend: [b, "a[0:4]"], op: linear}]', home / "out" / "best.yml")
    stack = space.decode(write_point((*space.start, *make_run("b", 2, 4))))
    assert not select_errors(stack.problems)
    assert {each.stack or each.source for each in stack.spec.donors} == {"../spec.yml", "../b"}
    text = write_winner(stack_of(home, "stack: [a]"), home / "out" / "winner.yml")
    assert b"../a" in text
    (home / "out" / "winner.yml").write_bytes(text)
    assert (
        load(home / "out" / "winner.yml").plan().total_parameters
        == stack_of(home, "stack: [a]").plan().total_parameters
    )


def test_bounds_are_kept(home: Path) -> None:
    """A stack with too many layers or parameters is an error with both numbers."""
    stack = stack_of(home, "stack: [a]")
    total = stack.plan().total_parameters
    assert check_bounds(stack, Bounds(6, total)) is stack
    with pytest.raises(SpecError, match="6 layers, more than 5"):
        check_bounds(stack, Bounds(5))
    with pytest.raises(SpecError, match=f"{total:,} parameters, more than"):
        check_bounds(stack, Bounds(parameters=total - 1))


def test_licences_are_checked(home: Path) -> None:
    """Licences come from configs and model cards; every donor with another licence, or without one, is named."""
    (home / "a" / "README.md").write_text("---\nlicense: MIT\ntags: [x]\n---\n# a\n")
    (home / "b" / "README.md").write_text("---\nlicense: 'apache-2.0'\n---\n")
    stack = stack_of(home, "stack: [a]")
    with pytest.raises(SpecError) as caught:
        check_licences(stack, ("mit",))
    assert [problem.message for problem in caught.value.problems] == [
        "donor 'b' has the licence apache-2.0",
        "donor 'wide' states no licence",
    ]
    (home / "wide" / "README.md").write_text("---\nlicense: mit\n---\n")
    check_licences(stack, ("mit", "apache-2.0"))
    check_licences(stack, ())


def test_spaces_are_loaded_from_files(home: Path) -> None:
    """`stacker.load_space` gives either space of a file, and what it decodes is a stack."""
    (home / "ranged.yml").write_text(PARAMETERS.replace("t__attn1", "u"))
    space = stacker.load_space(home / "ranged.yml")
    assert isinstance(space, VariableSpace)
    assert len(space.decode({**space.start, "cut": 3}).graph.layers) == 3
    orders = stacker.load_space(home / "ranged.yml", arrange=True)
    assert isinstance(orders, ArrangementSpace)
    assert orders.start == make_run("a", 0, 2)
