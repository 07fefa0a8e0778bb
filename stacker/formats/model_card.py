"""Splits a model card (README.md) into the hub's metadata, which is YAML between lines of dashes, and its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from stacker.errors import DonorError, Mark

CARD = "README.md"
MAX_CARD_BYTES = 2_000_000
_METADATA = re.compile(r"\A\ufeff?---[ \t]*\r?\n(?P<yaml>.*?\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Card:
    """A model card: its metadata by key, and the text below."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def base_models(self) -> tuple[str, ...]:
        """The hub ids under `base_model`, which may be one id or a list."""
        return _list_words(self.metadata.get("base_model"))

    def licence(self) -> str | None:
        """The id of the licence, such as `apache-2.0`; of `other`, the name under `license_name` if there is one."""
        named = _list_words(self.metadata.get("license"))
        if named == ("other",):
            return next(iter(_list_words(self.metadata.get("license_name"))), "other")
        return named[0] if len(named) == 1 else None


def _list_words(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str) and each)


def parse_card(data: bytes, where: str) -> Card:
    """Parse a model card; DonorError, which calls the file `where`, when its metadata is not a YAML mapping."""
    text = data.decode("utf-8", errors="replace")
    found = _METADATA.match(text)
    if found is None:
        return Card({}, text)
    try:
        metadata = yaml.safe_load(found["yaml"] or "") or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DonorError.of("the metadata of this model card is not YAML", "", Mark(where)) from error
    if not isinstance(metadata, dict):
        raise DonorError.of("the metadata of this model card is not a mapping", "", Mark(where))
    return Card({str(key): value for key, value in metadata.items()}, text[found.end() :])


def format_card(card: Card) -> bytes:
    """The content of README.md for a card."""
    return f"---\n{yaml.safe_dump(dict(card.metadata), sort_keys=False, allow_unicode=True)}---\n{card.text}".encode()
