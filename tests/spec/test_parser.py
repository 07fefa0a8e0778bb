"""Texts of either dialect, and texts that are neither."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import Dialect, StackSpec
from stacker.spec.native.writer import to_native
from stacker.spec.parser import make_default_name, parse_spec, write_name
from tests.strategies import specs

LINES = """
stacker: 1
donors:
  a: x/y
stack:
  - a[0:4]
  - blend: [a, b]
    op: slerp
    t: 1
  -
  - repeat: a
    times: 2
    scale: {a: 1}
embed: a
merge_method: slerp
slices:
  - sources:
      - model: x/y
        layer_range: [0, 4]
base_model: x/y
models: [{model: x}]
parameters: {t: 1}
"""
WORDS = """
stacker donors stack stacks name base embed head output slice scale blend crossfade repeat use over times op source like
revision merge_method slices models modules sources model layer_range parameters t value filter base_model tokenizer
"""
PIECES = st.sampled_from(LINES.strip().splitlines(keepends=True))
KEYS = st.sampled_from(WORDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), below, max_size=4),
)


def read(text: str | bytes) -> StackSpec | None:
    try:
        return parse_spec(text, "s.yml")
    except SpecError as error:
        located = all(problem.message and problem.mark for problem in error.problems)
        if not located or not all(line.isprintable() for line in str(error).split("\n")):
            raise AssertionError(str(error)) from error
        return None


@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_pieces(text: str) -> None:
    """Any combination of pieces of specs is a spec, or a SpecError with places and printable messages."""
    read(text)


@given(st.dictionaries(KEYS, JSON, max_size=6), st.sampled_from([{"stacker": 1}, {"merge_method": "slerp"}, {}]))
def test_any_shape(data: dict[str, object], lead: dict[str, object]) -> None:
    """Any data under known keys is a spec or such a SpecError."""
    read(json.dumps({**data, **lead}))


@settings(max_examples=40)
@given(specs(), st.data())
def test_damaged_specs(spec: StackSpec, data: st.DataObject) -> None:
    """A spec with a line removed or doubled is a spec or such a SpecError."""
    lines = to_native(spec).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    read("".join(lines[:at] + lines[at + 1 :]))
    read("".join(lines[:at] + lines[at : at + 1] * 2 + lines[at + 1 :]))


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        pytest.param("stacker: 1\ndonors: {a: x/y}\nstack: [a]\n", Dialect.NATIVE, id="native"),
        pytest.param("merge_method: passthrough\nmodels: [{model: x/y}]\n", Dialect.MERGEKIT, id="mergekit"),
    ],
)
def test_dialect(text: str, dialect: Dialect) -> None:
    """A text with `merge_method` is mergekit's."""
    assert parse_spec(text, "s.yml").dialect is dialect


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("goliath.yml", "goliath"),
        ("dir/my stack.yaml", "my-stack"),
        ("<stdin>", "stdin"),
        ("-", "stack"),
        ("..", "stack"),
        ("a.b.yml", "a.b"),
    ],
)
def test_default_name(source: str, name: str) -> None:
    """A spec without a name is named after its file."""
    assert make_default_name(source) == name


def test_light() -> None:
    """Reading a spec does not import torch, transformers or numpy."""
    heavy = "torch", "transformers", "numpy", "networkx", "rich", "huggingface_hub"
    imports = "import sys; import stacker.spec.parser, stacker.spec.native.writer"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_copy_keeps_the_name() -> None:
    """The name of a spec that takes it from its file is written below the first key; a written name stays alone."""
    text = b"# why\nstacker: 1\ndonors: {a: org/a}\nstack: [a]\n"
    named = write_name(text, parse_spec(text, "tall stack.yml"))
    assert named == b"# why\nstacker: 1\nname: tall-stack\ndonors: {a: org/a}\nstack: [a]\n"
    assert parse_spec(named, "other.yml").name == "tall-stack"
    assert write_name(named, parse_spec(named, "other.yml")) == named
