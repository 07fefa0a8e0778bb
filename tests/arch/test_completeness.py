"""Donors whose config and tensors disagree."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.completeness import check_tensors
from stacker.arch.families import read_architecture
from stacker.arch.placement import list_expected_tensors, list_optional_tensors, place_tensors
from stacker.errors import Severity
from stacker.tensors import Dtype, TensorSpec

CONFIG: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
    "vocab_size": 10,
}  # fmt: skip
FAMILY = read_architecture("llama")
TENSORS = {spec.name: spec for spec in list_expected_tensors(FAMILY, CONFIG)}


def problems(tensors: dict[str, TensorSpec], config: dict[str, Any] = CONFIG) -> list[str]:
    """All problems of a donor with these tensors."""
    found = check_tensors(FAMILY, config, tensors, place_tensors(FAMILY, config, tensors))
    return [str(problem) for problem in found]


def test_a_complete_donor() -> None:
    """A donor with all tensors that the config implies has no problems."""
    assert problems(TENSORS) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 5}, "5 layers, but there are no tensors of layer 4"),
        ({"num_hidden_layers": 9}, "9 layers, but there are no tensors of layers 4, 5, 6, …"),
        ({"num_hidden_layers": 3}, "3 layers, but there are tensors of layer 3"),
        ({"hidden_size": 16}, "config.json makes it"),
        ({"attention_bias": True}, "16 tensors that config.json promises are missing"),
    ],
)
def test_another_config(config: dict[str, Any], message: str) -> None:
    """A config of another checkpoint is detected."""
    assert message in "\n".join(problems(TENSORS, CONFIG | config))


def test_missing_tensors_are_named() -> None:
    """A gap in one layer is found."""
    without = {name: spec for name, spec in TENSORS.items() if name != "model.layers.2.mlp.up_proj.weight"}
    assert "model.layers.2.mlp.up_proj.weight" in problems(without)[0]


def test_no_layers_at_all() -> None:
    """Tensors of another family have no layers here."""
    name = "transformer.h.0.attn.weight"
    assert "no tensor is called like a layer" in problems({name: TensorSpec(name, Dtype.F32, (1,))})[0]


def test_extra_tensors_are_a_note() -> None:
    """Tensors that the family does not list are reported by a note."""
    name = "model.layers.0.self_attn.extra"
    found = check_tensors(
        FAMILY, CONFIG, more := TENSORS | {name: TensorSpec(name, Dtype.F32, (1,))}, place_tensors(FAMILY, CONFIG, more)
    )
    assert [problem.severity for problem in found] == [Severity.NOTE]


def test_tied_heads_may_be_there_or_not() -> None:
    """A head beside a tied embedding is not reported as an extra tensor."""
    assert problems(TENSORS, CONFIG | {"tie_word_embeddings": True}) == []


SMALL: dict[str, Any] = {
    "num_hidden_layers": 4, "hidden_size": 8, "intermediate_size": 12, "vocab_size": 10, "num_attention_heads": 2,
}  # fmt: skip
QWEN: dict[str, Any] = SMALL | {"model_type": "qwen3_5_moe_text", "num_experts": 3, "moe_intermediate_size": 6}
KIMI: dict[str, Any] = SMALL | {"model_type": "kimi_linear", "num_experts": 3, "moe_intermediate_size": 6}
BOTH = pytest.mark.parametrize(
    ("config", "replaced"), [(QWEN, ".mlp.experts."), (KIMI, "0.block_sparse_moe.")], ids=["fused", "renamed"]
)


def other_names(config: dict[str, Any], replaced: str) -> dict[str, TensorSpec]:
    """The donor's tensors with the optional ones instead of those whose name contains `replaced`."""
    family = read_architecture(config["model_type"])
    kept = [spec for spec in list_expected_tensors(family, config) if replaced not in spec.name]
    return {spec.name: spec for spec in (*kept, *list_optional_tensors(family, config))}


def problems_of(config: dict[str, Any], tensors: dict[str, TensorSpec]) -> list[str]:
    """All problems of a donor with these tensors."""
    family = read_architecture(config["model_type"])
    return [str(each) for each in check_tensors(family, config, tensors, place_tensors(family, config, tensors))]


@BOTH
def test_other_names_are_complete(config: dict[str, Any], replaced: str) -> None:
    """A donor with fused experts, or another name for its dense layer, is complete."""
    assert problems_of(config, other_names(config, replaced)) == []


@BOTH
def test_half_of_either_is_not(config: dict[str, Any], replaced: str) -> None:
    """If one of the alternative tensors is missing, the tensor it would replace is reported."""
    tensors = other_names(config, replaced)
    del tensors[next(name for name in tensors if name in {spec.name for spec in optional(config)} and "down" in name)]
    assert "are missing" in problems_of(config, tensors)[0]


@BOTH
def test_other_names_have_sizes(config: dict[str, Any], replaced: str) -> None:
    """The shapes of alternative tensors are checked too."""
    tensors = other_names(config, replaced) | {
        spec.name: TensorSpec(spec.name, spec.dtype, (1,)) for spec in optional(config)
    }
    assert "has the shape [1]" in problems_of(config, tensors)[0]


def optional(config: dict[str, Any]) -> tuple[TensorSpec, ...]:
    """The optional tensors of this config."""
    return list_optional_tensors(read_architecture(config["model_type"]), config)
