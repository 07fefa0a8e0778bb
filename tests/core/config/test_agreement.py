"""Differences between two donors' configs: errors, warnings, and those that do not matter."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.core.config.agreement import compare_donors
from stacker.errors import Severity
from tests.core.stacks import make_donor


def found(mine: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, str]]:
    """Severity and first word of each problem between two donors."""
    problems = compare_donors(make_donor("a", **mine), make_donor("b", **other))
    return [(problem.severity, problem.message.split(" differs")[0]) for problem in problems]


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ({}, {}),
        ({"torch_dtype": "float16"}, {"torch_dtype": "bfloat16"}),
        ({"initializer_range": 0.1}, {"initializer_range": 0.2}),
        ({"vocab_size": 30}, {}),
        ({"eos_token_id": 1}, {"eos_token_id": 2}),
        ({"tie_word_embeddings": True}, {}),
        ({"num_hidden_layers": 4}, {}),
        ({"attention_dropout": 0.1}, {"attention_dropout": 0.0}),
        ({"rope_theta": 1e4}, {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}),
        ({"rope_scaling": None}, {}),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5.0},
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0}},
        ),
        ({"head_dim": 8}, {}),
        ({"attention_bias": False}, {}),
    ],
)
def test_what_does_not_matter(mine: dict[str, Any], other: dict[str, Any]) -> None:
    """Bookkeeping entries, older spellings, and entries of the vocabulary are not compared."""
    assert found(mine, other) == []


@pytest.mark.parametrize(
    ("mine", "other", "key"),
    [
        ({"rope_theta": 1e4}, {"rope_theta": 5e5}, "rotary embedding"),
        ({"rope_theta": 1e4}, {"rope_theta": 1e4, "rope_scaling": {"type": "yarn"}}, "rotary embedding"),
        ({"rms_norm_eps": 1e-5}, {"rms_norm_eps": 1e-6}, "rms_norm_eps"),
        ({"hidden_act": "silu"}, {"hidden_act": "gelu"}, "hidden_act"),
        ({"sliding_window": 4}, {"sliding_window": 8}, "sliding_window"),
        ({"max_position_embeddings": 4}, {"max_position_embeddings": 8}, "max_position_embeddings"),
    ],
)
def test_what_is_a_warning(mine: dict[str, Any], other: dict[str, Any], key: str) -> None:
    """Settings of which the result keeps only the template's are warned of."""
    assert found(mine, other) == [(Severity.WARNING, key)]


@pytest.mark.parametrize(
    ("mine", "other", "key"),
    [
        ({"num_key_value_heads": 1}, {}, "kv_heads"),
        ({"hidden_size": 32}, {}, "hidden"),
        ({"intermediate_size": 64}, {}, "ffn"),
        ({"model_type": "falcon", "alibi": True}, {"model_type": "falcon"}, "alibi"),
        ({"model_type": "qwen2", "use_sliding_window": True}, {"model_type": "qwen2"}, "use_sliding_window"),
    ],
)
def test_what_is_an_error(mine: dict[str, Any], other: dict[str, Any], key: str) -> None:
    """Sizes and switches of structure have one value for all layers."""
    assert (Severity.ERROR, key) in found(mine, other)


def test_what_follows_the_layers_may_differ() -> None:
    """Per-layer entries are compared layer by layer, not as a whole."""
    kinds = ["full_attention", "sliding_attention"]
    mine, other = ({"model_type": "gemma2", "head_dim": 8, "layer_types": order * 3} for order in (kinds, kinds[::-1]))
    assert found(mine, other) == []


def test_another_family_with_the_same_tensors() -> None:
    """Llama and Mistral have the same layers: a warning."""
    problems = found({}, {"model_type": "mistral"})
    assert [severity for severity, _ in problems] == [Severity.WARNING]


def test_another_family() -> None:
    """Layers with different tensors are an error."""
    problems = found({}, {"model_type": "qwen3"})
    assert Severity.ERROR in [severity for severity, _ in problems]
