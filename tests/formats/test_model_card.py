"""Model cards are split into metadata and text, and written as they were."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from stacker.errors import DonorError
from stacker.formats.model_card import Card, format_card, parse_card

TEXT = "---\nlicense: mit\nbase_model:\n- a/b\n- c/d\n---\n# Title\n\n---\ntext\n"


def test_the_hub_reads_the_same() -> None:
    """huggingface_hub finds the same metadata and text, also in what is written."""
    card = parse_card(TEXT.encode(), "README.md")
    for text in (TEXT, format_card(card).decode()):
        theirs = ModelCard(text)
        metadata = theirs.data.to_dict()  # type: ignore[no-untyped-call]
        assert (metadata["license"], metadata["base_model"]) == (card.licence(), list(card.base_models()))
        assert theirs.text.strip() == card.text.strip()


@pytest.mark.parametrize(
    ("metadata", "licence", "bases"),
    [
        ({"license": "mit", "base_model": "a/b"}, "mit", ("a/b",)),
        ({"license": ["mit"], "base_model": ["a/b", 3, ""]}, "mit", ("a/b",)),
        ({"license": ["mit", "gpl-3.0"]}, None, ()),
        ({"license": "other", "license_name": "qwen"}, "qwen", ()),
        ({"license": "other"}, "other", ()),
        ({}, None, ()),
    ],
)
def test_odd_metadata_is_read(metadata: dict[str, object], licence: str | None, bases: tuple[str, ...]) -> None:
    """Licences and bases may be one word or a list; several licences are none that is known."""
    card = Card(metadata)
    assert (card.licence(), card.base_models()) == (licence, bases)


def test_a_card_without_metadata_is_all_text() -> None:
    """A card that does not begin with metadata has none, and a rule of dashes below is text."""
    assert parse_card(b"# T\n---\nx: 1\n---\n", "README.md") == Card({}, "# T\n---\nx: 1\n---\n")
    assert parse_card(b"---\n---\nbody\n", "README.md") == Card({}, "body\n")


@pytest.mark.parametrize("text", ["---\na: [\n---\n", "---\n- a\n---\n", "---\n!!python/object:os.system x\n---\n"])
def test_damaged_metadata_is_refused(text: str) -> None:
    """Metadata that is not a YAML mapping of plain values is a DonorError."""
    with pytest.raises(DonorError, match="metadata of this model card"):
        parse_card(text.encode(), "README.md")
