"""Which tensors a parameter's rules select."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stacker.core.values.parameters import match_name


@given(st.text(alphabet="ab.?[]*", max_size=8), st.text(alphabet="ab.?[]*", max_size=4))
def test_a_star_is_the_only_wildcard(name: str, middle: str) -> None:
    """A name fits itself with any piece of it starred, whatever signs it has; without a star, only itself."""
    around = f"a{middle}b"
    assert match_name(f"{around}{name}", f"{around}*")
    assert match_name(f"{name}{around}", f"*{around}")
    assert match_name(name, name.replace("*", "x")) == (name == name.replace("*", "x"))


def test_brackets_and_question_marks_are_themselves() -> None:
    """They are wildcards in a shell, and letters here."""
    assert not match_name("layers.1.weight", "layers.?.weight*")
    assert not match_name("layers.1.weight", "layers.[0-9].*")


@given(st.text(alphabet="ab.", max_size=12), st.text(alphabet="ab.*", max_size=8))
def test_patterns_match_as_regular_expressions_do(name: str, pattern: str) -> None:
    """A name matches exactly if the regular expression with `.*` for every star matches all of it."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert match_name(name, pattern) == (re.fullmatch(expression, name) is not None)


def test_many_stars_cost_nothing() -> None:
    """A pattern of many stars is decided at once; with backtracking, this test would not end."""
    assert not match_name("a" * 200, "*a" * 60 + "*z")
