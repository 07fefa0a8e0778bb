"""The highest id of every kind of tokenizer file, and how damaged files are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    st.sampled_from([None, 2]),
)
def test_whatever_the_tokens_are_their_ids_are_read(
    vocabulary: dict[str, int], added: list[int], indent: int | None
) -> None:
    """The highest is that of the same lists in memory, where an added token replaces one of the vocabulary."""
    entries = [{"id": number, "content": f"<{number}>"} for number in added]
    content = {"added_tokens": entries, "model": {"type": "BPE", "dropout": None, "vocab": vocabulary, "merges": []}}
    found = find_highest_id("tokenizer.json", json.dumps(content, indent=indent).encode(), "")
    assert found is not None
    assert found[1] == max((vocabulary | {f"<{number}>": number for number in added}).values())


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


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tokenizer.json", b'{"model": {"vocab": [' + b'["x"],' * 800_001 + b"[]]}}"),
        ("vocab.json", b"{" + b'"x":0,' * 800_001 + b'"y":1}'),
        ("qwen.tiktoken", b"\n" * 800_001),
        ("tokenizer_config.json", b'{"a": [' + b"0," * 200_001 + b"0]}"),
    ],
)
def test_too_many_values_are_refused_before_they_are_parsed(name: str, data: bytes) -> None:
    """Millions of tokens, pieces, lines or settings would take gigabytes."""
    with pytest.raises(DonorError, match=r"too many tokens|more than [28]00,000"):
        find_highest_id(name, data, name)


def test_the_largest_vocabulary_of_2026_is_read() -> None:
    """As many tokens, merges and added tokens as Gemma 3 has."""
    entries = [{"id": number, "content": f"<{number}>", "special": True} for number in range(6_415)]
    model = {"vocab": {f"t{number}": number for number in range(262_144)}, "merges": [["a", "b"]] * 514_906}
    content = json.dumps({"model": model, "added_tokens": entries}).encode()
    assert find_highest_id("tokenizer.json", content, "") == ("t262143", 262_143)
