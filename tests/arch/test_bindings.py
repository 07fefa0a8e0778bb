"""Which config entries could bind layers to their places, and which only look like it."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.bindings import check_list_lengths, find_bindings
from stacker.arch.families import read_architecture
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
        pytest.param("layer_kinds", ["a"] * 6 + ["b"] * 8, (0, 5), (5, 6), id="padded list"),
    ],
)
def test_what_binds(key: str, value: Json, alike: tuple[int, int], different: tuple[int, int]) -> None:
    """Each form is recognised, and says which places it treats alike."""
    (binding,) = find_bindings({key: value}, DEPTH, frozenset())
    assert binding.value_at(alike[0]) == binding.value_at(alike[1])
    assert binding.value_at(different[0]) != binding.value_at(different[1])


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"eos_token_id": [1, 2, 5]}, id="token ids"),
        pytest.param({"mrope_section": [2, 3, 4]}, id="sections"),
        pytest.param({"moe_layer_freq": 1}, id="every layer"),
        pytest.param({"image_sizes": [4, 8]}, id="sizes"),
        pytest.param({"hidden_act": "silu", "num_experts": 8, "tie": True}, id="ordinary entries"),
        pytest.param({"layer_scales": [0.5, 0.25]}, id="numbers that are no layers"),
        pytest.param({"_private_idx": [1, 2]}, id="private"),
    ],
)
def test_what_does_not_bind(config: dict[str, Any]) -> None:
    """Entries about something else than layers are left alone."""
    assert list(find_bindings(config, DEPTH, frozenset())) == []


def test_an_offset_belongs_to_its_period() -> None:
    """A period and its offset are one entry."""
    config: dict[str, Json] = {"attn_layer_period": 4, "attn_layer_offset": 2}
    assert [binding.key for binding in find_bindings(config, DEPTH, frozenset())] == ["attn_layer_period"]


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
