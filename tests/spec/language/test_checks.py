"""Checks of a spec that need no donors."""

from __future__ import annotations

import pytest

from stacker.errors import Severity, SpecError
from stacker.spec.parser import parse_spec

HEAD = "stacker: 1\ndonors: {a: org/a, b: org/b}\n"


def messages(body: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(HEAD + body, "s")
    return [problem.message for problem in caught.value.problems]


def test_never_used() -> None:
    """Donors and named stacks that are never used are warnings with their places."""
    spec = parse_spec(HEAD + "stack:\n  - a\nstacks:\n  tail: [a]\n", "s")
    assert [(str(problem.mark), problem.message, problem.severity) for problem in spec.problems] == [
        ("s:2:23", "donor 'b' is never used", Severity.WARNING),
        ("s:6:3", "stack 'tail' is never used", Severity.WARNING),
    ]


@pytest.mark.parametrize("key", ["base", "embed", "head", "tokenizer", "config"])
def test_used_outside_the_stack(key: str) -> None:
    """A donor named outside the stack counts as used."""
    assert parse_spec(HEAD + f"stack:\n  - a\n{key}: b\n", "s").problems == ()


def test_unknown_names_are_told_once() -> None:
    """An undefined name is one problem at its first use, with the closest defined name."""
    with pytest.raises(
        SpecError, match=r"^s:4:5: no donor is called 'aa' \(used 3 times\)\n  hint: did you mean 'a'\?$"
    ):
        parse_spec(HEAD + "stack:\n  - aa\n  - b\n  - aa\nembed: aa\n", "s")


def test_unknown_donor_of_a_crossfade() -> None:
    """Sources and bases of blends and crossfades must be defined too."""
    found = messages("stack:\n  - crossfade: [a, x]\n    over: 1\n    op: slerp\n    base: y\n  - b\n")
    assert found == ["no donor is called 'x'", "no donor is called 'y'"]


@pytest.mark.parametrize(
    ("stacks", "circle"),
    [
        pytest.param("{one: [{use: one}]}", "one -> one", id="itself"),
        pytest.param("{one: [{use: two}], two: [{use: one}]}", "one -> two -> one", id="two"),
        pytest.param("{zero: [{use: one}], one: [{repeat: {use: one}, times: 2}]}", "one -> one", id="in-a-repeat"),
    ],
)
def test_cycles(stacks: str, circle: str) -> None:
    """Named stacks that contain themselves are refused, and the message shows the cycle."""
    found = messages(f"stack: [a, b, {{use: one}}]\nstacks: {stacks}\n")
    assert [message for message in found if "contains itself" in message] == [f"stack 'one' contains itself: {circle}"]


def test_a_diamond_is_no_cycle() -> None:
    """A stack that is used along two paths is valid."""
    stacks = "{one: [{use: two}, {use: three}], two: [{use: three}], three: [b]}"
    assert parse_spec(HEAD + f"stack: [a, {{use: one}}]\nstacks: {stacks}\n", "s").problems == ()


def test_doubling_stacks() -> None:
    """Thirty stacks that each use the next twice are refused without being expanded."""
    stacks = "".join(f"  s{n}: [{{use: s{n + 1}}}, {{use: s{n + 1}}}]\n" for n in range(30))
    found = messages(f"stack: [a, {{use: s0}}]\nstacks:\n{stacks}  s30: [b]\n")
    assert found == ["the stack has 1,073,741,825 layers or more; at most 10,000 are allowed"]


def test_long_chain_of_stacks() -> None:
    """Thousands of nested named stacks are refused without a RecursionError."""
    stacks = "".join(f"  s{n}: [{{use: s{n + 1}}}]\n" for n in range(5000))
    found = messages(f"stack: [a, {{use: s0}}]\nstacks:\n{stacks}  s5000: [b]\n")
    assert found == ["5001 named stacks; at most 100 are allowed"]


def test_the_most_named_stacks() -> None:
    """A hundred nested named stacks are valid."""
    stacks = "".join(f"  s{n}: [{{use: s{n + 1}}}]\n" for n in range(99))
    assert parse_spec(HEAD + f"stack: [a, {{use: s0}}]\nstacks:\n{stacks}  s99: [b]\n", "s").problems == ()


def test_lengths_that_are_not_written() -> None:
    """Slices with an open end are not checked for their length."""
    body = "stack:\n  - blend: ['a[4:]', 'b[0:4]']\n    op: slerp\n  - crossfade: [a, b]\n    over: 9\n    op: slerp\n"
    assert parse_spec(HEAD + body, "s").problems == ()


def test_crossfade_may_cover_a_slice() -> None:
    """The overlap may cover an outer slice completely, and half of an inner slice."""
    body = "stack:\n  - crossfade: ['a[0:4]', 'b[4:12]', 'a[12:16]']\n    over: 4\n    op: slerp\n"
    assert parse_spec(HEAD + body, "s").problems == ()
