"""Unsafe keys of a config, and keys that do not affect what a layer computes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.config.keys import UNSAFE_KEYS, find_reported_keys, is_bookkeeping, remove_unsafe_keys
from stacker.formats.json_object import Json

KEYS = st.sampled_from([*sorted(UNSAFE_KEYS), "_private", "__float__", "hidden_size", "rope_scaling"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def keys_in(value: Json) -> set[str]:
    """Every key at any depth."""
    if isinstance(value, dict):
        return value.keys() | {key for item in value.values() for key in keys_in(item)}
    return {key for item in value for key in keys_in(item)} if isinstance(value, list) else set()


@given(st.dictionaries(KEYS, JSON))
def test_no_unsafe_key_is_left(config: dict[str, Json]) -> None:
    """Unsafe and private keys are removed at any depth; all others stay."""
    clean = remove_unsafe_keys(config)
    assert not keys_in(clean) & (UNSAFE_KEYS | {"_private"})
    assert clean.keys() == config.keys() - UNSAFE_KEYS - {"_private"}
    assert not find_reported_keys(clean)


def test_reported_keys_are_found_at_any_depth() -> None:
    """Unsafe keys without which the result may not load are found in nested entries too."""
    assert find_reported_keys({"a": [{"auto_map": {}}], "trust_remote_code": True, "_x": 1}) == {
        "auto_map",
        "trust_remote_code",
    }


@pytest.mark.parametrize(
    "key", ["transformers_version", "attention_dropout", "eos_token_id", "_name_or_path", "use_cache"]
)
def test_bookkeeping(key: str) -> None:
    """Keys of training, versions and tokens do not affect what layers compute."""
    assert is_bookkeeping(key)


@pytest.mark.parametrize("key", ["rms_norm_eps", "hidden_act", "sliding_window", "num_attention_heads", "layer_types"])
def test_what_matters(key: str) -> None:
    """Keys of the computation are not bookkeeping."""
    assert not is_bookkeeping(key)
