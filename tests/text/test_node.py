"""Nodes as plain data and in messages."""

from __future__ import annotations

import pytest

from stacker.text.node import Mapping, describe, get_child, is_null, shorten, walk_scalars
from stacker.text.yaml import read_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("[1]", "a list", id="list"),
        pytest.param("{a: 1}", "a mapping", id="mapping"),
        pytest.param("!!null", "nothing", id="null"),
        pytest.param("5", "the number 5", id="number"),
        pytest.param("True", "True", id="flag"),
        pytest.param("abc", "'abc'", id="text"),
    ],
)
def test_describe(text: str, words: str) -> None:
    """A value is described by its kind, a scalar by its text."""
    node = read_yaml(f"x: {text}", "s")
    assert describe(get_child(node, "x")) == words


def test_child_falls_back() -> None:
    """For a missing key or index, the node itself is returned."""
    node = read_yaml("a: [1]", "s")
    assert get_child(node, "b") is node
    assert get_child(get_child(node, "a"), 3) is get_child(node, "a")


def test_is_null() -> None:
    """Null and a missing node both count as no value."""
    node = read_yaml("{a: ~, b: 0}", "s")
    assert isinstance(node, Mapping)
    assert [is_null(node.get(key)) for key in ("a", "b", "c")] == [True, False, True]


def test_scalars() -> None:
    """Every scalar is found, and keys are distinguished from values."""
    found = [(scalar.text, is_key) for scalar, is_key in walk_scalars(read_yaml("a: [1, {b: c}]", "s"))]
    assert found == [("a", True), ("1", False), ("b", True), ("c", False)]


def test_shorten() -> None:
    """Text in a message is printable and of bounded length."""
    assert shorten("a\x1b[31m" + "b" * 100) == "a\\x1b[31m" + "b" * 51 + "…"
