"""Recipes as text: the fields of their comments, and replaced donors."""

from __future__ import annotations

import pytest

from stacker.spec.language.stack_spec import DonorSpec
from stacker.spec.language.value_grammar import parse_source
from stacker.spec.parser import parse_spec
from stacker.spec.recipes import parse_recipe, replace_donors

TEXT = """\
# Two in turn.
# Source: model card of org/stack: the first
# Licence: none
# Published: 8 layers.
# A note.
stacker: 1
name: tiny
donors:
  one: {source: org/one, like: llama-2-7b}
  other: {source: org/other, like: llama-2-7b}
stack:
  - one[0:4]
  - other[2:6]
"""


def test_the_head_is_read() -> None:
    """Summary, source (with colons), licence, published figures and notes are parsed."""
    recipe = parse_recipe("tiny", TEXT)
    assert (recipe.summary, recipe.source) == ("Two in turn.", "model card of org/stack: the first")
    assert (recipe.licence, recipe.published, recipe.notes) == ("none", "8 layers.", ("A note.",))


@pytest.mark.parametrize(
    "donor",
    [
        pytest.param(parse_source("one", "./folder", None), id="folder"),
        pytest.param(parse_source("one", "org/name@v1.0", None), id="revision"),
        pytest.param(DonorSpec("one", "./folder", like="llama-3-8b"), id="like"),
        pytest.param(DonorSpec("one", r"./odd \1 name, {with} # signs"), id="odd"),
    ],
)
def test_another_donor_is_put_in(donor: DonorSpec) -> None:
    """A replaced donor changes only its own line; comments stay."""
    text = replace_donors(TEXT, {"one": donor})
    spec = parse_spec(text, "tiny.yml")
    assert spec.donors[0] == donor
    assert spec.donors[1].source == "org/other"
    before, after = TEXT.splitlines(), text.splitlines()
    assert [line for line in after if line not in before] == [after[8]]
