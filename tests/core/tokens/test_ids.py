"""The highest id of every kind of tokenizer file, and how damaged files are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.tokens import ids
from stacker.core.tokens.ids import find_highest_id
from stacker.errors import DonorError

MODEL = {"vocab": {"x": 0, "y": 7}}


@pytest.mark.parametrize(
    ("name", "content", "highest"),
    [
        ("tokenizer.json", {"model": MODEL}, ("y", 7)),
        ("tokenizer.json", {"model": MODEL, "added_tokens": [{"id": 9, "content": "<z>"}]}, ("<z>", 9)),
        ("tokenizer.json", {"model": {"vocab": [["x", -1.0], ["y", -2.0]]}}, ("y", 1)),
        ("tokenizer.json", {"model": {"vocab": {}}}, None),
        ("tokenizer.json", {"of": "another format"}, None),
        ("added_tokens.json", {"<z>": 9, "<y>": 3}, ("<z>", 9)),
        ("vocab.json", {"x": 0, "y": 4}, ("y", 4)),
        ("vocab.json", {"deu": {"x": 0}}, None),
        ("tokenizer_config.json", {"added_tokens_decoder": {"12": {"content": "<z>"}}}, ("<z>", 12)),
        ("tokenizer_config.json", {}, None),
        ("generation_config.json", {"x": 1}, None),
    ],
)
def test_the_highest_id(name: str, content: object, highest: tuple[str, int] | None) -> None:
    """With its token; None where a file lists no ids."""
    assert find_highest_id(name, json.dumps(content).encode(), name) == highest


@given(
    st.dictionaries(st.text() | st.sampled_from(['": 99', "\\", '\\": 7']), st.integers(0, 40), min_size=1),
    st.lists(st.integers(0, 40), max_size=2),
    st.integers(0, 45),
    st.sampled_from([None, 2]),
)
def test_ids_at_or_above_the_rows_are_always_found(
    vocabulary: dict[str, int], added: list[int], rows: int, indent: int | None
) -> None:
    """A file with ids below the rows need not be parsed; whatever the tokens are, no higher id is overlooked."""
    entries = [{"id": number, "content": f"<{number}>"} for number in added]
    content = {"added_tokens": entries, "model": {"type": "BPE", "dropout": None, "vocab": vocabulary, "merges": []}}
    found = find_highest_id("tokenizer.json", json.dumps(content, indent=indent).encode(), "", rows)
    highest = max((vocabulary | {f"<{number}>": number for number in added}).values())
    assert found is None or found[1] == highest
    assert highest < rows or found is not None


def test_ranks_of_tiktoken() -> None:
    """One line for each token, in base64."""
    assert find_highest_id("qwen.tiktoken", b"IQ== 0\nIg== 11\n", "") == ("Ig==", 11)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tokenizer.json", b'{"model": {"vocab": {"x": Infinity}}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"x": -1}}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"x": true}}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"x": 99999999999999999999}}}'),
        ("tokenizer.json", b'{"model": {"vocab": [[]]}}'),
        ("tokenizer.json", b'{"model": {"vocab": [1]}}'),
        ("tokenizer.json", b'{"model": {"vocab": 1}}'),
        ("tokenizer.json", b'{"model": []}'),
        ("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": [1]}'),
        ("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": [{"content": "x"}]}'),
        ("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": [{"id": 1e9, "content": "x"}]}'),
        ("tokenizer.json", b"[]"),
        ("added_tokens.json", b'{"x": Infinity}'),
        ("added_tokens.json", b'{"x": []}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": [1]}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": {"content": "y"}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"1": {}}}'),
        ("qwen.tiktoken", b"IQ== x"),
        ("qwen.tiktoken", b"\xff\xff 1"),
    ],
)
def test_damaged_files_are_the_donors_fault(name: str, data: bytes) -> None:
    """Every damage is a DonorError that names the file."""
    with pytest.raises(DonorError, match=f"a/{name}"):
        find_highest_id(name, data, f"a/{name}")


def test_too_many_values_are_refused_before_they_are_parsed() -> None:
    """A file of millions of empty lists would take gigabytes."""
    with pytest.raises(DonorError, match="more than 2,000,000 values"):
        find_highest_id("tokenizer.json", b'{"a": [' + b"[]," * 3_000_000 + b"[]]}", "t")


@pytest.mark.parametrize("tokens", [["vocab", '":', "\\", '\\"', '":\\"'], ["{", "[", ": 9,", "null"]])
def test_a_tokenizer_with_odd_tokens_is_not_parsed(tokens: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that look like JSON do not defeat the quick look, which is several times as fast as parsing."""
    monkeypatch.setattr(ids, "parse_object", None)
    content = {"model": {"vocab": {token: number for number, token in enumerate(tokens)}, "merges": tokens}}
    assert find_highest_id("tokenizer.json", json.dumps(content).encode(), "x", rows=len(tokens)) is None
