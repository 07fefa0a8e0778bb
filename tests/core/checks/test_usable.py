"""Specs with errors: what is wrong elsewhere is told at the same time, and nothing untrue."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.compose import load
from stacker.errors import StackerError
from tests.donors import write_llama

HEAD = "stacker: 1\ndonors: {a: ./a, b: ./b}\nstack:\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two donors of six layers."""
    write_llama(tmp_path / "a")
    write_llama(tmp_path / "b", seed=1)
    return tmp_path


def messages(home: Path, text: str) -> list[str]:
    """The errors of a spec, whether they are raised or listed."""
    (home / "spec.yml").write_text(text)
    try:
        problems = load(home / "spec.yml").problems
    except StackerError as error:
        problems = error.problems
    return [f"{problem.mark.line if problem.mark else 0}: {problem.message}" for problem in problems]


def test_slips_of_all_kinds_are_told_at_once(home: Path) -> None:
    """Form, donors, ranges, ops, their values, roles and bases: one run names them all, in the order of the text."""
    text = (
        "stacker: 1\n"
        "donors: {a: ./a, b: ./b, c: ./missing}\n"
        "stack:\n"
        "  - a[0:9]\n"
        "  - {slice: 'a[2:6]', scale: {o_proj: 0.5}}\n"
        "  - {blend: ['a[0:4]', 'b[0:4]'], op: slrep, t: 0.5}\n"
        "  - {blend: ['a[0:4]', 'b[0:9]'], op: linear, wieght: 1}\n"
        "  - {blend: ['a[0:9]', 'b[0:9]'], op: ties, density: 3}\n"
        "  - {use: tail}\n"
        "  - c[0:2]\n"
        "  - {blnd: [a], op: slerp}\n"
        "output: {dtype: bf17}\n"
    )
    assert [message.replace(f"{home}/", "")[:60] for message in messages(home, text)] == [
        "2: there is no donor 'c' at 'missing'",
        "4: slice a[0:9] ends past donor 'a', which has 6 layers",
        "5: no tensor of the stack has the role 'o_proj'",
        "6: there is no op 'slrep'",
        "7: the slices of a blend must have the same number of layers",
        "7: op 'linear' has no parameter 'wieght'",
        "8: op 'ties' needs a base",
        "8: slice a[0:9] ends past donor 'a', which has 6 layers",
        "8: slice b[0:9] ends past donor 'b', which has 6 layers",
        "8: 'density' of op 'ties' must be from 0 to 1, not 3",
        "9: no stack is called 'tail'",
        "11: an item of the stack cannot be a mapping with 'blnd', 'o",
        "12: 'bf17' is not an element type",
    ]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param("  - {blend: ['a[0:4]', 5], op: slerp}\n", ["4: a source cannot be the number 5"], id="a-source"),
        pytest.param("  - {blend: ['a[0:4]', 'a['], op: slerp}\n", ["4: 'a[' is not a slice"], id="a-slice"),
        pytest.param("  - {blend: ['a[0:4]', 'b[0:4]']}\n", ["4: 'op' is missing"], id="no-op"),
        pytest.param("  - a[0:6]\nbase: c\n", ["5: no donor is called 'c'"], id="no-base"),
        pytest.param(
            "  - {blend: ['a[0:4]', 'b[0:4]'], op: ties}\nbase: c\n", ["5: no donor is called 'c'"], id="lost-base"
        ),
        pytest.param("  - {repeat: [5], times: 2}\n", ["4: an item of the stack cannot be the number 5"], id="empty"),
    ],
)
def test_nothing_follows_from_what_was_lost(items: str, expected: list[str], home: Path) -> None:
    """A part that was lost to an error causes no second error: no missing source, no missing base."""
    found = [message for message in messages(home, HEAD + items) if "never used" not in message]
    assert [message.partition(":")[0] for message in found] == [message.partition(":")[0] for message in expected]
    assert all(message.startswith(begin) for message, begin in zip(found, expected, strict=True))


def test_parts_of_names_suggest_the_role(home: Path) -> None:
    """The name that a tensor has in other tools leads to the role."""
    (home / "spec.yml").write_text(HEAD + "  - {slice: 'a[0:6]', scale: {down_proj: 0}}\n")
    (problem,) = [each for each in load(home / "spec.yml").problems if "role" in each.message]
    assert problem.hint == "did you mean 'mlp.down'?"
    assert str(problem.mark).endswith(":4:31")
