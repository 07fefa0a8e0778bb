"""Written YAML: readers of 1.1 and of 1.2 must read the same data."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacker.text.emitter import Flow, Tree, write_yaml
from stacker.text.node import to_data
from stacker.text.yaml import read_yaml

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "no",
        "Yes",
        "8:24",
        "0x1",
        "012",
        "1e-4",
        "~",
        "null",
        "2024-01-01",
        "*a",
        "x[0:4]",
        "./a",
        "a:",
        "#b",
        "-",
        "=",
        "<<",
        ".",
        "..",
        "/",
        "a/",
        "a-",
        "1_0",
        ".5",
        "@a",
        "%a",
    ]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12)
FLAT = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
)
TREES = st.dictionaries(TEXTS, FLAT | FLAT.map(Flow), min_size=1, max_size=4)


def bare(tree: object) -> object:
    match tree:
        case Flow(value):
            return bare(value)
        case dict():
            return {key: bare(value) for key, value in tree.items()}
        case list():
            return [bare(item) for item in tree]
        case _:
            return tree


@given(TREES)
def test_both_versions_read_it(tree: dict[str, Tree]) -> None:
    """PyYAML's YAML 1.1 and our YAML 1.2 read back what was written."""
    text = write_yaml(tree)
    assert yaml.safe_load(text) == bare(tree)
    assert to_data(read_yaml(text, "s")) == bare(tree)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        pytest.param(
            {"a": ["x[0:16]", {"b": 1, "c": [2.5]}]}, "a:\n  - x[0:16]\n  - b: 1\n    c:\n      - 2.5\n", id="block"
        ),
        pytest.param({"a": Flow({"b": ["x[0:16]", 1e-5]})}, 'a: {b: ["x[0:16]", 1.0e-05]}\n', id="flow"),
        pytest.param({"a": [], "b": {}, "c": Flow([])}, "a: []\nb: {}\nc: []\n", id="empty"),
        pytest.param({"one": 5.0, "big": 1e30}, "one: 5\nbig: 1.0e+30\n", id="numbers"),
        pytest.param(
            {"s": "org/name@main", "t": "../x", "u": "no"}, 's: org/name@main\nt: ../x\nu: "no"\n', id="words"
        ),
        pytest.param({"a b": "5GB", "y": "1e5"}, 'a b: 5GB\n"y": "1e5"\n', id="text for both versions"),
        pytest.param({"<|é|>": "日本", "a": "x\u200by"}, '<|é|>: 日本\na: "x\\u200By"\n', id="invisible"),
    ],
)
def test_text(tree: dict[str, Tree], text: str) -> None:
    """Blocks are indented by two, slices are unquoted in them, and only text that needs quotes has them."""
    assert write_yaml(tree) == text
