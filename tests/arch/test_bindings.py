"""Which config entries could bind layers to their places, and which only look like it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, AutoConfig

from stacker.arch.bindings.entries import find_bindings, list_explained_keys
from stacker.arch.bindings.lengths import check_list_lengths
from stacker.arch.dimensions import count_layers, select_text_config
from stacker.arch.families import list_families, read_architecture
from stacker.core.config.keys import DEPTH_KEYS, is_bookkeeping
from stacker.core.config.rotary import ROTARY_KEYS
from stacker.errors import Severity
from stacker.formats.json_object import Json

DEPTH = 12


@pytest.mark.parametrize(
    ("key", "value", "alike", "different"),
    [
        pytest.param("bskcn_1", [1, 2, 4, 6], (1, 4), (1, 3), id="numbers of layers"),
        pytest.param("global_attn_idx", [0, 7, 11], (0, 7), (0, 1), id="indices"),
        pytest.param("attn_layers", [3], (0, 1), (3, 4), id="one layer"),
        pytest.param("dense_attention_every_n_layers", 2, (0, 2), (0, 1), id="every n"),
        pytest.param("cla_share_factor", 3, (1, 4), (1, 2), id="shared caches"),
        pytest.param("moe_interval", 4, (0, 8), (0, 2), id="interval"),
        pytest.param("attn_layer_period", 8, (1, 9), (1, 2), id="period"),
        pytest.param("attn_layer_offset", 4, (4, 4), (4, 5), id="offset alone"),
        pytest.param("moe_layers_enum", "4,5,6", (4, 6), (4, 7), id="numbers as text"),
        pytest.param("block_pattern", "RRA", (0, 1), (0, 2), id="pattern as text"),
        pytest.param("special", {"03": 8, "10": 4}, (1, 2), (3, 10), id="mapping by layer"),
        pytest.param("skip_layers", [0], (1, 2), (0, 1), id="the first layer"),
        pytest.param("attn_layers", [9, 3, 6], (3, 9), (3, 4), id="in any order"),
        pytest.param("attn_layers", [4, 12], (3, 11), (3, 4), id="counted from one"),
        pytest.param("cache_source", [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9], (0, 2), (2, 3), id="a number for each"),
        pytest.param("scales", [0.5] * 6 + [1.5] * 6, (0, 5), (5, 6), id="a value for each"),
        pytest.param("first_k_dense", 3, (0, 2), (2, 3), id="so many first layers"),
        pytest.param("num_dense_layers", 3, (0, 2), (2, 3), id="a number of layers of a kind"),
        pytest.param("layer_kinds", ["a"] * 6 + ["b"] * 8, (0, 5), (5, 6), id="padded list"),
        pytest.param("mb_per_layer", 2, (1, 3), (1, 2), id="a kind in every other layer"),
        pytest.param("mamba_step", 2, (1, 3), (1, 2), id="step"),
        pytest.param("attn_layer_modulo", 3, (1, 4), (1, 2), id="modulo"),
        pytest.param("skip_rope_every_n_layers", 4, (1, 5), (1, 2), id="rotation at every n"),
        pytest.param("cross_layer_sharing", 2, (1, 3), (1, 2), id="sharing"),
        pytest.param("local_layers_per_global", 3, (1, 4), (1, 2), id="so many for each"),
        pytest.param("local_to_global_ratio", 5, (1, 31), (1, 6), id="a ratio, which may be a period of six"),
        pytest.param("moe_layer_num_skipped", 2, (3, 9), (0, 3), id="layers left out"),
        pytest.param("n_layers_in_prelude", 2, (0, 1), (1, 2), id="layers at the beginning"),
        pytest.param("dense_until", 3, (1, 1), (2, 3), id="up to a layer"),
        pytest.param("moe_start", 3, (1, 1), (2, 3), id="from a layer"),
        pytest.param("global_layer", 5, (0, 4), (4, 5), id="the number of one layer"),
        pytest.param("sliding_window_layers", "0-3,5-7", (3, 5), (3, 4), id="ranges as text"),
        pytest.param("kv_reuse_group", [[1, 2], [4, 5]], (1, 2), (2, 4), id="groups"),
        pytest.param("layer_groups", [{"start": 0, "end": 4}], (1, 1), (1, 2), id="runs in mappings"),
        pytest.param("attention_plan", [["full", 3], ["sliding", 9]], (1, 1), (1, 2), id="runs that fill the depth"),
        pytest.param("attn_pattern", ["local", "local", "global"], (0, 4), (1, 2), id="a cycle of words"),
        pytest.param("layer_pattern", [0, 0, 1], (0, 4), (1, 2), id="a cycle of numbers"),
        pytest.param("attn_kinds", "SSSFSSSFSSSF", (0, 4), (2, 3), id="a letter for each layer"),
        pytest.param("layer_types", "SSSF", (0, 4), (2, 3), id="letters that repeat"),
        pytest.param("block_sequence", "m m a", (0, 4), (1, 2), id="words that repeat"),
        pytest.param("order", ", ".join(["a", "b"] * 6), (0, 4), (1, 2), id="a word for each layer"),
        pytest.param("alternating_attention", True, (1, 1), (1, 2), id="a switch"),
        pytest.param("last_layer_full_attention", True, (1, 1), (1, 2), id="a switch for the last layer"),
    ],
)
def test_what_binds(key: str, value: Json, alike: tuple[int, int], different: tuple[int, int]) -> None:
    """Each form is recognised, and says which places it treats alike."""
    (binding,) = find_bindings({key: value}, DEPTH, frozenset())
    assert binding.value_at(alike[0], DEPTH) == binding.value_at(alike[1], DEPTH)
    assert binding.value_at(different[0], DEPTH) != binding.value_at(different[1], DEPTH)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"eos_token_id": [1, 2, 5]}, id="token ids"),
        pytest.param({"mrope_section": [2, 3, 4]}, id="sections"),
        pytest.param({"moe_layer_freq": 1}, id="every layer"),
        pytest.param({"image_sizes": [4, 8]}, id="sizes"),
        pytest.param({"spatial_pool_stride": 2, "conv_stride": 4}, id="strides over pictures"),
        pytest.param(
            {"blocksparse_block_size": 8, "blocksparse_vert_stride": 8, "blocksparse_num_local_blocks": 10},
            id="blocks of tokens",
        ),
        pytest.param({"rope_interleave": True, "alternating_attention": False}, id="switches"),
        pytest.param({"apply_query_key_layer_scaling": True, "hidden_act": "gelu_pytorch"}, id="words"),
        pytest.param({"projector_layers": 2, "insert_layer_id": 6}, id="layers of other modules"),
        pytest.param({"total_ut_steps": 4, "sliding_window": 7, "group_size": 6, "n_group": 8}, id="numbers"),
        pytest.param({"hidden_act": "silu", "num_experts": 8, "tie": True}, id="ordinary entries"),
        pytest.param({"layer_scales": [0.5, 0.25]}, id="numbers that are no layers"),
        pytest.param({"_private_idx": [1, 2]}, id="private"),
        pytest.param({"num_nextn_predict_layers": 1, "num_encoder_layers": 4}, id="other layers"),
        pytest.param({"eos_token_id": list(range(12))}, id="as many tokens as layers"),
        pytest.param(
            {"vision_config": {"skip_layers": [1]}, "draft": {"model_type": "x", "attn_layers": [1]}}, id="towers"
        ),
    ],
)
def test_what_does_not_bind(config: dict[str, Any]) -> None:
    """Entries about something else than layers are left alone."""
    assert list(find_bindings(config, DEPTH, frozenset())) == []


def test_ends_are_those_of_the_stack() -> None:
    """What counts from the last layer counts from the stack's last layer, however deep the donor was."""
    (last,) = find_bindings({"full_attn_layers": [-1]}, DEPTH, frozenset())
    assert last.value_at(11, DEPTH) == last.value_at(16, 17) != last.value_at(11, 17)
    (dense,) = find_bindings({"num_dense_layers": 2}, DEPTH, frozenset())
    assert dense.value_at(10, DEPTH) == dense.value_at(7, 9) != dense.value_at(7, DEPTH)


def test_an_offset_belongs_to_its_period() -> None:
    """A period and its offset are one entry."""
    config: dict[str, Json] = {"attn_layer_period": 4, "attn_layer_offset": 2}
    assert [binding.key for binding in find_bindings(config, DEPTH, frozenset())] == ["attn_layer_period"]


def test_many_entries_are_read_in_little_time() -> None:
    """The time grows with the number of entries, also where all of them are offsets or periods."""
    many = {f"attn_layer_{number}_{word}": 4 for number in range(20_000) for word in ("offset", "period")}
    begin = time.process_time()
    assert len(list(find_bindings(many, DEPTH, frozenset()))) == 20_000
    assert time.process_time() - begin < 5


def test_nested_entries_are_named_by_their_path() -> None:
    """Entries of a nested mapping count, and a nested entry can be explained or ignored by its path."""
    config: dict[str, Json] = {"sparse": {"heads": {"global_layers": [1, 4]}}}
    assert [binding.key for binding in find_bindings(config, DEPTH, frozenset())] == []
    config = {"sparse_config": {"attn": {"global_layers": [1, 4]}}}
    assert [binding.key for binding in find_bindings(config, DEPTH, frozenset())] == [
        "sparse_config.attn.global_layers"
    ]
    assert list(find_bindings(config, DEPTH, frozenset({"sparse_config.attn.global_layers"}))) == []


def test_explained_keys_are_left_out() -> None:
    """What a rule follows is not reported."""
    assert list(find_bindings({"global_attn_idx": [1]}, DEPTH, frozenset({"global_attn_idx"}))) == []


@pytest.mark.parametrize(
    ("config", "severity"),
    [
        pytest.param({"layer_types": ["full_attention"] * 12}, None, id="as deep"),
        pytest.param({"layer_types": ["full_attention"] * 13, "num_nextn_predict_layers": 1}, None, id="and one more"),
        pytest.param({"layer_types": ["full_attention"] * 14}, Severity.ERROR, id="left over from pruning"),
        pytest.param({"layer_types": ["full_attention"] * 8}, Severity.ERROR, id="too short"),
        pytest.param({"layer_types": None}, None, id="none"),
    ],
)
def test_lists_are_as_long_as_the_model_is_deep(config: dict[str, Any], severity: Severity | None) -> None:
    """A list of another length is an error of the donor, except where it also counts layers of token prediction."""
    problems = list(check_list_lengths(read_architecture("qwen3"), config, DEPTH))
    assert [problem.severity for problem in problems] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("smollm3", "no_rope_layers", [1] * 10),
        ("gemma3n_text", "intermediate_size", [48] * 10),
        ("gemma3n_text", "activation_sparsity_pattern", [0.0] * 10),
        ("gpt_neo", "attention_layers", ["global"] * 14),
        ("laguna", "num_attention_heads_per_layer", [4] * 14),
        ("zamba", "layers_block_type", ["hybrid"] * 14),
    ],
)
def test_lists_that_transformers_refuses(family: str, key: str, value: list[Json]) -> None:
    """A per-layer list that is too short is an error even if it has a default, and so is one that is checked."""
    found = list(check_list_lengths(read_architecture(family), {key: value}, DEPTH))
    assert [problem.severity for problem in found] == [Severity.ERROR]


def test_repeated_lists_may_be_short() -> None:
    """A list that programs repeat over the layers is not too short."""
    config: dict[str, Json] = {"block_types": ["recurrent", "recurrent", "attention"]}
    assert list(check_list_lengths(read_architecture("recurrent_gemma"), config, DEPTH)) == []


@pytest.mark.parametrize("name", list_families())
def test_family_files_explain_what_their_configs_say(name: str) -> None:
    """No entry of a config that transformers makes for a known family is left unexplained."""
    architecture = read_architecture(name)
    for model_type in set(architecture.model_types) & set(CONFIG_MAPPING.keys()):
        config = json.loads(json.dumps(AutoConfig.for_model(model_type).to_dict(), default=str))
        depth = count_layers(architecture, config)
        entries = select_text_config(architecture, config)
        known = list_explained_keys(architecture) | ROTARY_KEYS | {key for key in entries if is_bookkeeping(key)}
        assert [found.key for found in find_bindings(entries, depth, known | set(DEPTH_KEYS))] == []
