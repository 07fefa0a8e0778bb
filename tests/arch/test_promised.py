"""Families that store the same weights under two sets of names: a donor has one or the other."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.completeness import check_tensors
from stacker.arch.families import read_architecture
from stacker.arch.placement import list_expected_tensors, list_optional_tensors, place_tensors
from stacker.tensors import TensorSpec

SMALL: dict[str, Any] = {
    "num_hidden_layers": 4, "hidden_size": 8, "intermediate_size": 12, "vocab_size": 10, "num_attention_heads": 2,
}  # fmt: skip
QWEN: dict[str, Any] = SMALL | {"model_type": "qwen3_5_moe_text", "num_experts": 3, "moe_intermediate_size": 6}
KIMI: dict[str, Any] = SMALL | {"model_type": "kimi_linear", "num_experts": 3, "moe_intermediate_size": 6}
BOTH = pytest.mark.parametrize(
    ("config", "replaced"), [(QWEN, ".mlp.experts."), (KIMI, "0.block_sparse_moe.")], ids=["fused", "renamed"]
)


def other_names(config: dict[str, Any], replaced: str) -> dict[str, TensorSpec]:
    """The donor's tensors with the other names in place of those `replaced`."""
    family = read_architecture(config["model_type"])
    kept = [spec for spec in list_expected_tensors(family, config) if replaced not in spec.name]
    return {spec.name: spec for spec in (*kept, *list_optional_tensors(family, config))}


def problems(config: dict[str, Any], tensors: dict[str, TensorSpec]) -> list[str]:
    """Everything said about a donor of these tensors."""
    family = read_architecture(config["model_type"])
    return [str(each) for each in check_tensors(family, config, tensors, place_tensors(family, config, tensors))]


@BOTH
def test_other_names_are_complete(config: dict[str, Any], replaced: str) -> None:
    """A donor that stores its experts fused, or its dense layer under another name, lacks nothing."""
    assert problems(config, other_names(config, replaced)) == []


@BOTH
def test_half_of_either_is_not(config: dict[str, Any], replaced: str) -> None:
    """Where one of the other names is missing in a layer, what it would stand for is missed."""
    tensors = other_names(config, replaced)
    del tensors[next(name for name in tensors if name in {spec.name for spec in optional(config)} and "down" in name)]
    assert "are missing" in problems(config, tensors)[0]


@BOTH
def test_other_names_have_sizes(config: dict[str, Any], replaced: str) -> None:
    """A tensor of the other names is held to the config as well."""
    tensors = other_names(config, replaced) | {
        spec.name: TensorSpec(spec.name, spec.dtype, (1,)) for spec in optional(config)
    }
    assert "has the shape [1]" in problems(config, tensors)[0]


def optional(config: dict[str, Any]) -> tuple[TensorSpec, ...]:
    """The tensors of the other names."""
    return list_optional_tensors(read_architecture(config["model_type"]), config)
