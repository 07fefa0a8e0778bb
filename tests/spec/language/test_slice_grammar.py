"""The slice grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import Mark, SpecError
from stacker.spec.language.slice_grammar import count_written_layers, format_slice, parse_slice
from stacker.spec.language.stack_spec import SliceSpec
from stacker.spec.native.schema import make_json_schema
from tests.strategies import NAMES, slices


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        pytest.param("xwin[0:16]", SliceSpec("xwin", 0, 16), id="range"),
        pytest.param("xwin[5]", SliceSpec("xwin", 5, 6), id="one-layer"),
        pytest.param("xwin[8:]", SliceSpec("xwin", 8, None), id="to-the-end"),
        pytest.param("xwin[:16]", SliceSpec("xwin", None, 16), id="from-the-start"),
        pytest.param("xwin[:]", SliceSpec("xwin"), id="all"),
        pytest.param("xwin", SliceSpec("xwin"), id="bare-name"),
        pytest.param("  xwin [ 0 : 16 ] ", SliceSpec("xwin", 0, 16), id="spaces"),
        pytest.param("Llama-3.1_8B[007:9]", SliceSpec("Llama-3.1_8B", 7, 9), id="name-and-zeros"),
    ],
)
def test_parse(text: str, piece: SliceSpec) -> None:
    """Every form of the grammar is parsed, with or without spaces."""
    assert parse_slice(text) == piece


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("xwin[4:4]", "is empty\n.*xwin\\[4:5\\] is one layer", id="empty"),
        pytest.param("xwin[:0]", "slice xwin\\[0:0\\] is empty", id="empty-from-the-start"),
        pytest.param("xwin[8:4]", "runs backwards\n.*write xwin\\[4:8\\]", id="reversed"),
        pytest.param("xwin[-1]", "never from the end", id="negative"),
        pytest.param("xwin[0:-1]", "never from the end", id="negative-end"),
        pytest.param("xwin[0.5:2]", "layers are whole numbers", id="float"),
        pytest.param("xwin[1e2]", "write donor\\[first:last\\+1\\]", id="exponent"),
        pytest.param("xwin[0-16]", "write xwin\\[0:16\\]", id="dash"),
        pytest.param("xwin[0 to 16]", "write xwin\\[0:16\\]", id="to"),
        pytest.param("xwin[0..16]", "write xwin\\[0:16\\]", id="dots"),
        pytest.param("xwin[0:4:2]", "there is no step", id="step"),
        pytest.param("xwin[]", "is not a range", id="nothing"),
        pytest.param("xwin[0:999999]", "past the last layer of any donor", id="huge"),
        pytest.param("xwin[0:4", "a bracket is not closed", id="open"),
        pytest.param("xwin(0:4)", "write xwin\\[0:4\\]", id="parentheses"),
        pytest.param("xwin:0:4", "write xwin\\[0:4\\]", id="colon"),
        pytest.param("org/xwin[0:4]", "named once under 'donors'", id="hub-id"),
        pytest.param("[0:4]", "a name is made of letters", id="no-donor"),
        pytest.param("xwin[٣]", "is not a range", id="other-digits"),
        pytest.param("", "is not a slice", id="empty-text"),
    ],
)
def test_refused(text: str, words: str) -> None:
    """Text that is not a slice is refused with a hint of the slice that was probably meant."""
    with pytest.raises(SpecError, match=words) as caught:
        parse_slice(text, Mark("s", 2, 5))
    assert caught.value.problems[0].mark == Mark("s", 2, 5)


@given(NAMES.flatmap(lambda name: slices([name])))
def test_shown(piece: SliceSpec) -> None:
    """A formatted slice parses to the same slice."""
    assert parse_slice(format_slice(piece)) == piece


@given(st.text(max_size=12) | st.text("xw[]:0123456789 -.", max_size=12))
def test_schema_agrees(text: str) -> None:
    """The pattern of the JSON schema accepts each text that the parser takes."""
    pattern = next(
        option["pattern"]
        for option in make_json_schema()["properties"]["stack"]["items"]["oneOf"]
        if "pattern" in option
    )
    try:
        parse_slice(text)
    except SpecError:
        return
    assert re.search(pattern, text)


@pytest.mark.parametrize(
    ("text", "length"), [("a[2:8]", 6), ("a[:8]", 8), ("a[5]", 1), ("a[2:]", None), ("a", None)], ids=str
)
def test_written_length(text: str, length: int | None) -> None:
    """The length is known if the end is written."""
    assert count_written_layers(parse_slice(text)) == length
