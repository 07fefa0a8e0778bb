"""mergekit files of several documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import BlendSpec, SliceSpec, StackSpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.native.writer import to_native
from stacker.spec.parser import parse_spec

FIRST = """\
name: first
merge_method: passthrough
slices:
  - sources: [{model: org/a, layer_range: [0, 2]}]
  - sources: [{model: org/b, layer_range: [1, 3]}]
"""
LAST = """\
merge_method: linear
models:
  - {model: first, parameters: {weight: 1}}
  - {model: org/c, parameters: {weight: 2}}
"""


def spec_of(*documents: str) -> StackSpec:
    return parse_spec("---\n".join(documents), "s.yml")


def test_a_later_document_uses_an_earlier_one() -> None:
    """The name of an earlier document refers to its stack, not to a repository."""
    spec = spec_of(FIRST, LAST)
    first, other = spec.donors
    assert (first.name, first.source, first.stack) == ("first", None, "first")
    assert first.stage is not None
    assert first.stage.stack == (SliceSpec("a", 0, 2), SliceSpec("b", 1, 3))
    assert (other.source, other.stage) == ("org/c", None)
    assert isinstance(spec.stack[0], BlendSpec)
    assert spec.name == "s"


def test_a_document_that_nothing_uses_is_told() -> None:
    """A document that no later document uses is a warning, because it would not be built."""
    spec = spec_of(FIRST, LAST.replace("first", "org/x"))
    assert [problem.message for problem in spec.problems] == [
        "no later document uses 'first'; only the last document is built"
    ]


def test_an_empty_document_at_the_end_is_nothing() -> None:
    """A separator at the end of a file adds no document."""
    assert spec_of(FIRST, LAST, "") == spec_of(FIRST, LAST)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        pytest.param((FIRST.replace("name: first\n", ""), LAST), "has no 'name'", id="no name"),
        pytest.param((FIRST, FIRST, LAST), "two documents are called 'first'", id="one name twice"),
        pytest.param((FIRST, "stacker: 1\n", LAST), "one without 'merge_method'", id="another dialect"),
        pytest.param((FIRST, "- 1\n", LAST), "this is a list", id="no mapping"),
        pytest.param((FIRST.replace("[0, 2]", "[2, 0]"), LAST), "runs backwards", id="a fault of the first"),
        pytest.param((FIRST, LAST.replace("linear", "liner")), "'liner' is unknown", id="a fault of the last"),
        pytest.param(("stacker: 1\n", LAST), "a second document begins here", id="a native text has one"),
    ],
)
def test_what_documents_may_not_be(documents: tuple[str, ...], message: str) -> None:
    """Mistakes in every document are found."""
    with pytest.raises(SpecError, match=message):
        spec_of(*documents)


def test_stages_cannot_be_one_native_text() -> None:
    """The native language needs a file for each stack, and the error says so."""
    with pytest.raises(SpecError, match=r"s\.yml:\d+:\d+: 'first' is another document of this text"):
        to_native(spec_of(FIRST, LAST))


def test_the_depth_of_a_stage_follows_from_its_donors() -> None:
    """The end of a stage is computed from its donors' depths, and required while they are unknown."""
    whole = FIRST.split("slices:")[0] + "models: [{model: org/a}]\n"
    last = "merge_method: passthrough\nslices:\n  - sources: [{model: first, layer_range: [1, 3]}]\n"
    spec = spec_of(whole, last)
    (piece,) = spec.stack
    assert isinstance(piece, SliceSpec)
    opened = replace(spec, stack=(replace(piece, stop=None),))
    with pytest.raises(SpecError, match=r"needs the end of first\[1:\]"):
        to_mergekit(opened)
    assert "layer_range: [1, 5]" in to_mergekit(opened, {"first/a": 5})
