"""Finds the sizes of a model that people ask for first: width, heads, vocabulary, context, and the memory to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Architecture, Config

STORED_BITS = {16: 16.0, 8: 8.5, 4: 4.85}
"""The usual precisions, each with the bits that a weight takes in bfloat16 and in Q8_0 and Q4_K_M of llama.cpp."""
_HIDDEN = ("hidden", "hidden_size", "n_embd", "d_model")
_HEADS = ("heads", "num_attention_heads", "n_head", "n_heads")
_KEY_VALUE_HEADS = ("kv_heads", "num_key_value_heads")
_VOCABULARY = ("vocab", "vocab_size")
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The width of the residual stream, heads of queries and of keys and values, tokens known, and tokens of context.

    A size is None if the config does not say it.
    """

    hidden: int | None
    heads: int | None
    kv_heads: int | None
    vocabulary: int | None
    context: int | None


def find_sizes(architecture: Architecture, config: Config) -> ModelSizes:
    """The sizes of a model with this config."""
    names = collect_names(architecture, config)
    hidden, heads, kv_heads, vocabulary, context = (
        find_first_int(names, keys) for keys in (_HIDDEN, _HEADS, _KEY_VALUE_HEADS, _VOCABULARY, _CONTEXT)
    )
    return ModelSizes(hidden, heads, kv_heads, vocabulary, context)


def predict_weights(parameters: int) -> dict[int, int]:
    """About how many bytes this many parameters take in the usual precisions, by bits."""
    return {bits: round(parameters * stored / 8) for bits, stored in STORED_BITS.items()}


def find_first_int(names: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """The first whole number among the values of `keys` in a config; None if there is none."""
    values = (names.get(key) for key in keys)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
