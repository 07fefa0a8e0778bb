"""Embedding and head of a stack have one vocabulary."""

from __future__ import annotations

from dataclasses import replace

from stacker.core.checks.stack import check_ends
from stacker.core.values.donor import Donor
from tests.core.stacks import graph_of, make_donor

EMBED = "model.embed_tokens.weight"


def with_prompts(donor: Donor, rows: int) -> Donor:
    """The donor with more rows in its embedding than tokens."""
    tensor = donor.tensors[EMBED]
    spec = replace(tensor.spec, shape=(tensor.spec.shape[0] + rows, *tensor.spec.shape[1:]))
    return replace(donor, tensors={**donor.tensors, EMBED: replace(tensor, spec=spec)})


def test_a_head_of_another_vocabulary() -> None:
    """Embedding and head with different numbers of tokens are refused."""
    donors = {"a": make_donor("a"), "b": make_donor("b", vocab_size=26)}
    (problem,) = check_ends(graph_of("- a[0:3]\n- b[3:6]", donors), donors)
    assert problem.message == "the embedding of 'a' has 24 tokens, the head of 'b' 26"


def test_a_tied_head_of_another_vocabulary() -> None:
    """A tied head has the rows of its donor's embedding."""
    donors = {"a": make_donor("a"), "b": make_donor("b", vocab_size=26, tie_word_embeddings=True)}
    assert any(check_ends(graph_of("- a[0:3]\n- b[3:6]", donors), donors))


def test_embeddings_with_rows_for_more_than_tokens() -> None:
    """Rows for prompts beyond the vocabulary are not counted."""
    donors = {name: with_prompts(make_donor(name), 8) for name in "ab"}
    assert not [*check_ends(graph_of("- a[0:3]\n- b[3:6]", donors), donors)]
