"""Reads the model cards of donors and of outputs."""

from __future__ import annotations

from pathlib import Path

from stacker.errors import StackerError
from stacker.formats.model_card import CARD, MAX_CARD_BYTES, Card, parse_card
from stacker.io.files.repository import FolderRepository, Repository


def read_card(repository: Repository) -> Card | None:
    """The model card of a donor, downloaded if it is only on the hub; None if there is none that can be read."""
    try:
        if CARD not in repository.list_names():
            return None
        return parse_card(repository.read(CARD, MAX_CARD_BYTES), f"{repository.source}/{CARD}")
    except StackerError:
        return None


def read_own_card(folder: Path) -> Card:
    """The model card of an output; an empty one if there is none, DonorError when it is damaged."""
    repository = FolderRepository(folder)
    if CARD not in repository.list_names():
        return Card()
    return parse_card(repository.read(CARD, MAX_CARD_BYTES), str(folder / CARD))
