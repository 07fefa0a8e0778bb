"""Donors rewritten for a tokenizer: pure values in, pure values out."""

from __future__ import annotations

import json

import pytest

from stacker.core.stack.graph import build_graph
from stacker.core.tokens.rewriting import rewrite_donors
from stacker.core.tokens.tokenizer_files import Tokenizers, parse_tokens
from stacker.core.tokens.vocabulary import Tokens
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Copy, Rows
from stacker.core.values.matrix_parts import RowRun
from stacker.errors import DonorError, Problem
from stacker.tensors import TensorRef
from tests.core.stacks import make_donor, spec_of

EMBED = "model.embed_tokens.weight"
WORDS = {f"w{number}": number for number in range(23)}
DONORS = {name: make_donor(name) for name in "ab"}
A = Tokens({**WORDS, "<a>": 23}, {"<a>": {"id": 23, "content": "<a>"}})
B = Tokens({**WORDS, "<b>": 23}, {"<b>": {"id": 23, "content": "<b>"}})


def rewrite(tokens: dict[str, Tokens], files: dict[str, bytes], **keys: str) -> tuple[dict[str, Donor], list[Problem]]:
    """The donors of a stack of two layers with this `tokenizer` or `chat_template`."""
    spec = spec_of("  - a[0]\n  - b[1]", **keys)
    donors, problems = rewrite_donors(spec, build_graph(spec, DONORS), DONORS, Tokenizers(tokens, files))
    return donors, list(problems)


def test_without_a_word_on_tokenizers_donors_stay() -> None:
    """The same donors, and nothing to say."""
    assert rewrite({}, {}) == (DONORS, [])


def test_a_union_adds_rows_from_their_donors() -> None:
    """The added token of `b` gets a row of its own in `a`, taken from `b`; the config counts it."""
    donors, problems = rewrite({"a": A, "b": B}, {"tokenizer.json": b"{}"}, tokenizer="{source: union}")
    tensor = donors["a"].tensors[EMBED]
    assert problems == []
    assert tensor.spec.shape == (25, 16)
    assert tensor.expression == Rows(
        (Copy(TensorRef("a", EMBED)), Copy(TensorRef("b", EMBED))), 16, (RowRun(0, 0, 0, 24), RowRun(24, 1, 23, 1))
    )
    assert donors["a"].config["vocab_size"] == donors["b"].config["vocab_size"] == 25
    (file,) = donors["a"].side_files
    assert [entry["content"] for entry in json.loads(file.data or b"")["added_tokens"]] == ["<b>"]


def test_every_wrong_token_is_reported() -> None:
    """Problems of the union and of single tokens come together, and the donors stay as they are."""
    other = Tokens({**WORDS, "x": 23})
    donors, problems = rewrite(
        {"a": A, "b": other}, {}, tokenizer="{source: union, tokens: {w1: {source: {donor: b, token: y}}}}"
    )
    assert donors == DONORS
    assert ["no token 'y'" in problem.message for problem in problems] == [True, False]
    assert "'a' lacks 1 base token of 'b' ('x')" in problems[1].message


def test_a_chat_template_replaces_that_of_the_settings() -> None:
    """One file has the new template, and the settings lose theirs."""
    settings = {"tokenizer_config.json": b'{"chat_template": "old", "pad_token": "x"}'}
    donors, _ = rewrite({}, settings, chat_template='"{{ new }}"')
    files = {file.name: file.data for file in donors["a"].side_files}
    assert files["chat_template.jinja"] == b"{{ new }}"
    assert json.loads(files["tokenizer_config.json"] or b"") == {"pad_token": "x"}


@pytest.mark.parametrize("vocab", [{"x": 0, "y": 1}, [["x", -1.0], ["y", -2.0]]], ids=["ids", "pieces with scores"])
def test_both_forms_of_a_vocabulary_are_parsed(vocab: object) -> None:
    """As a mapping to ids, and as a list with scores; added tokens come from their own list."""
    content = {"model": {"vocab": vocab}, "added_tokens": [{"id": 2, "content": "<z>"}]}
    tokens = parse_tokens(json.dumps(content).encode(), "a/tokenizer.json")
    assert (dict(tokens.ids), list(tokens.added)) == ({"x": 0, "y": 1, "<z>": 2}, ["<z>"])


def test_a_file_without_a_vocabulary_is_refused() -> None:
    """With its place, and what to do."""
    with pytest.raises(DonorError, match=r"a/tokenizer\.json: this is not a tokenizer"):
        parse_tokens(b'{"model": {}}', "a/tokenizer.json")
