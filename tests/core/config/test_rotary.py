"""Rotary parameters are read from every spelling, and are equal if and only if transformers reads them as equal."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.utils import logging

from stacker.arch.families import find_architecture
from stacker.core.config.rotary import list_rotary_bases, read_rotary_parameters
from tests.families.tiny import decoder_families

Config = dict[str, Any]
FACTORS = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
PLAIN: list[Config] = [
    {},
    {"rope_theta": 10000},
    {"rope_theta": 10000.0, "rope_scaling": None},
    {"rope_theta": 5e5},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "linear", "factor": 2}, "rope_theta": 10000.0},
    {"rope_parameters": {"rope_type": "linear", "factor": 2.0}},
    {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
    {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
    {"rope_scaling": {"type": "yarn", "factor": 4.0}, "original_max_position_embeddings": 32},
    {"rope_scaling": {"type": "yarn", "factor": 4.0}},
    {"rope_scaling": {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 16}, "rope_theta": 5e5},
    {"rope_parameters": {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 16, "rope_theta": 5e5}},
    {"rope_theta": 5e5, "partial_rotary_factor": 0.5},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5}},
    {"rope_theta": 5e5, "partial_rotary_factor": 0.25},
]
WHOLE = [each for each in PLAIN if "partial_rotary_factor" not in str(each)]
"""For families whose partial rotary factor follows from other entries."""
LONGROPE: list[Config] = [
    {"rope_scaling": {"type": "longrope", **FACTORS}, "original_max_position_embeddings": 16},
    {"rope_scaling": {"type": "su", **FACTORS}, "original_max_position_embeddings": 16, "rope_theta": 10000.0},
    {"rope_parameters": {"rope_type": "longrope", **FACTORS, "original_max_position_embeddings": 16}},
    {
        "rope_parameters": {"rope_type": "longrope", **FACTORS, "rope_theta": 10000.0},
        "original_max_position_embeddings": 16,
    },
    {"rope_scaling": {"type": "longrope", **FACTORS}, "original_max_position_embeddings": 32},
    {},
    {"original_max_position_embeddings": 32},
]
FULL, SLIDING = "full_attention", "sliding_attention"
BY_KIND: list[Config] = [
    {},
    {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    {
        "rope_parameters": {
            FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        }
    },
    {"rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 2e6}, SLIDING: {"rope_theta": 1e4}}},
    {"rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 2e6}, SLIDING: {"rope_theta": 2e4}}},
]
GEMMA = [
    *BY_KIND,
    {"rope_theta": 1e6, "rope_local_base_freq": 1e4},
    {"rope_theta": 2e6},
    {"rope_theta": 1e6, "rope_local_base_freq": 2e4},
    {"rope_theta": 2e6, "rope_local_base_freq": 2e4},
]
NEOX: list[Config] = [
    {"rotary_pct": 0.25, "rotary_emb_base": 10000},
    {"rotary_pct": 0.5},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    {"rotary_emb_base": 5e5},
]
SIZES: Config = {
    "hidden_size": 64, "num_attention_heads": 8, "max_position_embeddings": 64,
    "intermediate_size": 64, "num_key_value_heads": 8, "max_seq_len": 64,
}  # fmt: skip
OWN = {
    **dict.fromkeys(("gemma3_text", "gemma3n_text"), GEMMA),
    "modernbert-decoder": [
        *(each for each in BY_KIND if "rope_scaling" not in each),  # no published config has both
        {"global_rope_theta": 2e6, "local_rope_theta": 2e4},
    ],
    "olmo3": [*BY_KIND, {"rope_theta": 2e6}],
    "bamba": WHOLE,
    "minimax_m3_vl_text": WHOLE,
    "cohere2_moe": [each for each in PLAIN if "rope_scaling" not in each],  # its class does not read the old key
    "phi3": LONGROPE,
    **dict.fromkeys(("gpt_neox", "gpt_neox_japanese"), NEOX),
}


def rotating_families() -> list[str]:
    """The families with a file whose configs have rotary parameters for all layers alike."""
    found = []
    for name in decoder_families():
        usual = AutoConfig.for_model(name).to_dict().get("rope_parameters")
        if usual and find_architecture({"model_type": name}) and not any(isinstance(v, dict) for v in usual.values()):
            found.append(name)
    return found


def read_both(name: str, entries: Config) -> tuple[Config, Config, Config] | None:
    """The parameters of a config by stacker, by stacker from what transformers saves, and by transformers.

    None if the config class of transformers does not take these entries.
    """
    config = {"model_type": name} | SIZES | entries
    architecture = find_architecture(config)
    assert architecture is not None
    try:
        saved = AutoConfig.for_model(name, **json.loads(json.dumps(SIZES | entries))).to_dict()
    except (AttributeError, KeyError, TypeError, ValueError, StrictDataclassError):
        return None
    theirs = saved["rope_parameters"]
    return read_rotary_parameters(architecture, config), read_rotary_parameters(architecture, saved), theirs


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.set_verbosity_error()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({*rotating_families(), *OWN}))
def test_equal_if_transformers_reads_them_as_equal(name: str) -> None:
    """Two spellings have equal parameters exactly if transformers makes the same parameters of them."""
    read = [(entries, found) for entries in OWN.get(name, PLAIN) if (found := read_both(name, entries))]
    assert len(read) > 3
    for entries, (mine, saved, _) in read:
        assert mine == saved, entries
    for (one, (mine, _, theirs)), (other, (mine_too, _, theirs_too)) in combinations(read, 2):
        assert (mine == mine_too) == (_meaning(theirs) == _meaning(theirs_too)), (one, other)


def _meaning(parameters: Config) -> Config:
    """Parameters of transformers without those that say nothing."""
    if any(isinstance(value, dict) for value in parameters.values()):
        return {key: _meaning(value) for key, value in parameters.items() if isinstance(value, dict)}
    kept = {key: value for key, value in parameters.items() if key != "type"}
    if kept["rope_type"] in ("default", "linear"):
        kept.pop("original_max_position_embeddings", None)
    return {"partial_rotary_factor": 1.0} | kept


def test_bases_by_kind_of_attention() -> None:
    """Families with two kinds of attention have a rotary base for each."""
    architecture = find_architecture({"model_type": "gemma3_text"})
    assert architecture is not None
    assert set(list_rotary_bases(read_rotary_parameters(architecture, {}))) == {1e4, 1e6}
    alike = {"rope_theta": 1e4, "rope_local_base_freq": 1e4}
    assert list_rotary_bases(read_rotary_parameters(architecture, alike)) == [1e4]


def test_attention_without_rotation() -> None:
    """A kind of attention whose parameters are null has no rotary embedding, which differs from the default one."""
    architecture = find_architecture({"model_type": "cohere_compass_text"})
    assert architecture is not None
    stated: Config = {SLIDING: {"rope_type": "default", "rope_theta": 1e4}}
    one: Config = {"rope_parameters": stated | {FULL: None}}
    other: Config = {"rope_parameters": stated | {FULL: stated[SLIDING]}}
    assert read_rotary_parameters(architecture, one) != read_rotary_parameters(architecture, other)
