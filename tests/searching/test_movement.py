"""What `-p` says in a search: values that stay, ranges, choices, and what is refused."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.searching.movement import parse_moves
from stacker.spec.parameters.space import SpecParameter

KNOWN = (
    SpecParameter("t", 0.5, (0.0, 1.0)),
    SpecParameter("cut", 8, (4, 24)),
    SpecParameter("op", "slerp", choices=("linear", "slerp", "nuslerp")),
    SpecParameter("free", 0.5),
    SpecParameter("flag", value=True),
)


def parse(*words: str) -> SpecParameter:
    """The single parameter that the words are about."""
    (found,) = parse_moves(words, KNOWN).values()
    return found


@pytest.mark.parametrize(
    ("word", "value", "bounds", "step", "choices"),
    [
        ("t=0.25", 0.25, None, None, ()),
        ("t=0:1", 0.5, (0.0, 1.0), None, ()),
        ("t = 0.6 : 1", 0.6, (0.6, 1.0), None, ()),
        ("t=0:0.4:0.1", 0.4, (0.0, 0.4), 0.1, ()),
        ("t=0.1,0.5,0.5", 0.5, None, None, (0.1, 0.5)),
        ("cut=8:24:4", 8, (8, 24), 4, ()),
        ("cut=12", 12, None, None, ()),
        ("op=linear", "linear", None, None, ()),
        ("op=linear,nuslerp", "linear", None, None, ("linear", "nuslerp")),
        ("free=-1:3", 0.5, (-1.0, 3.0), None, ()),
        ("flag=false,true", True, None, None, (False, True)),
    ],
)
def test_words_fix_and_move(
    word: str, value: object, bounds: object, step: object, choices: tuple[object, ...]
) -> None:
    """A value stays; what moves keeps its value, or takes the nearest bound or the first choice."""
    found = parse(word)
    assert (found.value, found.range, found.step, found.choices) == (value, bounds, step, choices)
    assert found.is_set
    assert found.moves == bool(bounds or choices)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("t", "is not NAME=VALUE"),
        ("=1", "is not NAME=VALUE"),
        ("u=1", "no parameter 'u'"),
        ("t=2", "outside its range"),
        ("t=0:2", "outside its range"),
        ("t=1:0", "1.0 is not below 0.0"),
        ("t=0:1:0", "a step of 0.0"),
        ("t=0:1:2", "a step of 2.0"),
        ("t=0:1:0.1:9", "is not a range"),
        ("t=a:b", "takes a number, not 'a'"),
        ("t=0.5,", "takes a number, not ''"),
        ("cut=8:12.5", "takes a whole number"),
        ("cut=5,5", "a single choice"),
        ("op=linear:slerp", "is one of"),
    ],
)
def test_other_words_are_refused(word: str, message: str) -> None:
    """A word of another form, an unknown name, and values that the parameter does not take are errors."""
    with pytest.raises(SpecError, match=message):
        parse(word)


def test_all_words_are_checked() -> None:
    """All wrong words are told together, and a name that comes twice."""
    with pytest.raises(SpecError) as caught:
        parse_moves(("t=2", "x=1", "cut=8", "cut=9"), KNOWN)
    assert len(caught.value.problems) == 3
