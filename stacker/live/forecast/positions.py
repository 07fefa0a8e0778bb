"""Says how many tokens a model can read. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length")
"""The config keys that families use for the number of positions."""


def find_positions(config: Mapping[str, Any]) -> int | None:
    """The most tokens, with those that are written, that a config.json allows; None if it sets no limit."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    most = next((text[key] for key in _KEYS if isinstance(text.get(key), int)), 0)
    return most if most > 0 else None
