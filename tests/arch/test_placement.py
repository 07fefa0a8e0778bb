"""Placement of tensors: layers, roles, full names, and ignored tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from stacker.arch.families import read_architecture
from stacker.arch.files.architecture import Part
from stacker.arch.placement import TensorPlacement, list_expected_tensors, list_layers, place_tensors
from stacker.errors import DonorError
from stacker.tensors import Dtype, TensorSpec

LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
    "vocab_size": 10,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 4, "vocab_size": 10
}  # fmt: skip


def place(family: str, config: dict[str, Any], names: Iterable[str]) -> dict[str, TensorPlacement]:
    """Placements of tensors whose dtype and shape do not matter."""
    return place_tensors(
        read_architecture(family), config, {name: TensorSpec(name, Dtype.BF16, (1,)) for name in names}
    )


@pytest.mark.parametrize(
    ("name", "part", "role", "layer"),
    [
        ("model.embed_tokens.weight", Part.EMBED, "embed", None),
        ("model.layers.0.self_attn.q_proj.weight", Part.LAYER, "attn.q", 0),
        ("model.layers.1.self_attn.q_proj.bias", Part.LAYER, "attn.q.bias", 1),
        ("model.layers.11.mlp.down_proj.weight", Part.LAYER, "mlp.down", 11),
        ("model.norm.weight", Part.HEAD, "norm.final", None),
        ("lm_head.weight", Part.HEAD, "head", None),
        ("model.layers.1.self_attn.strange", Part.LAYER, "attn.other", 1),
        ("model.layers.1.strange", Part.LAYER, "other", 1),
        ("strange.weight", Part.HEAD, "head.other", None),
        ("vision_tower.layers.3.weight", Part.EMBED, "embed.other", None),
    ],
)
def test_llama_tensors(name: str, part: Part, role: str, layer: int | None) -> None:
    """Listed tensors get the family's role, others one by name; every tensor is placed."""
    found = place("llama", LLAMA, [name])[name]
    assert (found.name, found.part, found.role, found.layer, found.ignored) == (name, part, role, layer, "")


def test_experts_share_a_template() -> None:
    """An expert's index does not change its role or its layer."""
    name = "model.layers.3.block_sparse_moe.experts.12.w2.weight"
    found = place("mixtral", LLAMA | {"model_type": "mixtral"}, [name])[name]
    assert (found.role, found.layer) == ("mlp.down.expert", 3)
    assert found.suffix == "block_sparse_moe.experts.12.w2.weight"


@pytest.mark.parametrize(
    ("family", "config", "name"),
    [
        ("llama", LLAMA, "model.layers.0.self_attn.rotary_emb.inv_freq"),
        ("gpt2", GPT2, "transformer.h.0.attn.bias"),
        ("gpt2", GPT2, "transformer.h.0.attn.masked_bias"),
        ("gpt_neox", LLAMA, "gpt_neox.layers.0.attention.rotary_emb.inv_freq"),
    ],
)
def test_buffers_are_ignored_with_a_reason(family: str, config: dict[str, Any], name: str) -> None:
    """Masks and rotary tables are ignored."""
    assert place(family, config, [name])[name].ignored


def test_biases_of_attention_are_no_masks() -> None:
    """Only the buffer `attn.bias` is a mask, not the bias of a projection."""
    found = place("gpt2", GPT2, ["transformer.h.0.attn.c_attn.bias"])
    assert not found["transformer.h.0.attn.c_attn.bias"].ignored


def test_prediction_layers_are_ignored() -> None:
    """Layers for multi-token prediction follow the last layer and are ignored."""
    names = [f"model.layers.{index}.mlp.up_proj.weight" for index in range(3)]
    found = place("llama", LLAMA | {"num_nextn_predict_layers": 1}, names)
    assert [bool(found[name].ignored) for name in names] == [False, False, True]
    assert list_layers(found.values()) == [0, 1]


def test_expected_tensors_follow_the_config() -> None:
    """Biases, the head and the element type follow the config."""
    plain = {
        spec.name: spec
        for spec in list_expected_tensors(read_architecture("llama"), LLAMA | {"torch_dtype": "float16"})
    }
    more = LLAMA | {"attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 1}
    other = {spec.name: spec for spec in list_expected_tensors(read_architecture("llama"), more)}
    assert len(plain) == 3 + 2 * 9
    assert plain["lm_head.weight"] == TensorSpec("lm_head.weight", Dtype.F16, (10, 8))
    assert len(other) == 2 + 2 * (9 + 4)
    assert other["model.layers.1.self_attn.k_proj.bias"].shape == (4,)


def test_dense_and_sparse_layers_differ() -> None:
    """A tensor's condition may use a layer's value of a rule."""
    config = LLAMA | {"model_type": "qwen3_moe", "num_experts": 3, "moe_intermediate_size": 4, "mlp_only_layers": [1]}
    names = [spec.name for spec in list_expected_tensors(read_architecture("qwen3_moe"), config)]
    assert "model.layers.0.mlp.experts.2.up_proj.weight" in names
    assert "model.layers.0.mlp.up_proj.weight" not in names
    assert "model.layers.1.mlp.up_proj.weight" in names
    assert "model.layers.1.mlp.gate.weight" not in names


def test_quantised_experts_have_their_own_dtype() -> None:
    """The published gpt-oss stores its experts in MXFP4, two values in a byte."""
    config = LLAMA | {"model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 32, "num_local_experts": 2,
                      "quantization_config": {"quant_method": "mxfp4"}}  # fmt: skip
    specs = {spec.name: spec for spec in list_expected_tensors(read_architecture("gpt_oss"), config)}
    blocks = specs["model.layers.0.mlp.experts.gate_up_proj_blocks"]
    assert (blocks.dtype, blocks.shape) == (Dtype.U8, (2, 64, 2, 16))
    assert "model.layers.0.mlp.experts.gate_up_proj" not in specs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "does not say how large"),
        ({"hidden_size": "8"}, "does not say how large|of size '8'"),
        ({"hidden_size": -8}, "of size -8"),
        ({"intermediate_size": 1.5}, "of size 1.5"),
        ({"num_hidden_layers": None}, "does not say how many layers"),
        ({"num_hidden_layers": True}, "does not say how many layers"),
        ({"num_hidden_layers": 10**9}, "does not say how many layers"),
    ],
)
def test_configs_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    """Invalid sizes in a config are a DonorError."""
    with pytest.raises(DonorError, match=message):
        list_expected_tensors(read_architecture("llama"), LLAMA | change)


MOE = {**LLAMA, "num_key_value_heads": 2, "num_experts": 4, "moe_intermediate_size": 4}


@pytest.mark.parametrize(
    ("family", "entries"),
    [
        pytest.param("mixtral", {"num_local_experts": 10**9}, id="experts"),
        pytest.param("mixtral", {"num_local_experts": 10**39}, id="experts-beyond-64-bits"),
        pytest.param("mixtral", {"num_local_experts": 400, "num_hidden_layers": 9000}, id="experts-of-many-layers"),
        pytest.param("qwen3_moe", {"num_experts": 10**9}, id="other-experts"),
        pytest.param("llama", {"num_hidden_layers": 10**6}, id="layers"),
        pytest.param("llama", {"num_key_value_heads": "x" * 4_000_000}, id="text"),
        pytest.param("llama", {"num_attention_heads": [0] * 1000, "head_dim": 10**9}, id="list"),
    ],
)
def test_absurd_dimensions_cost_nothing(family: str, entries: dict[str, Any]) -> None:
    """A config that would imply billions of tensors, or sizes that are no numbers, is refused after little work."""
    with pytest.raises(DonorError, match=r"config\.json") as caught:
        list_expected_tensors(read_architecture(family), {**MOE, **entries})
    assert len(str(caught.value)) < 1000
