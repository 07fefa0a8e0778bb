"""The packaged families: all of them parse, and each is found by its model types."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.families import find_architecture, list_families, read_architecture, read_architectures
from stacker.arch.placement import list_expected_tensors

LLAMA = {"num_attention_heads": 64, "num_key_value_heads": 8, "hidden_size": 8192, "num_hidden_layers": 80}
MISTRAL = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32000,
}  # fmt: skip


def test_every_file_parses_under_its_own_name() -> None:
    """A file has the name of its family."""
    assert tuple(family.name for family in read_architectures()) == list_families()
    assert len(list_families()) >= 14


@pytest.mark.parametrize("name", list_families())
def test_families_are_found_by_each_of_their_model_types(name: str) -> None:
    """No model type is in two files."""
    for model_type in read_architecture(name).model_types:
        found = find_architecture({"model_type": model_type})
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize("config", [{}, {"model_type": "nobody"}, {"model_type": 3}, {"model_type": "../llama"}])
def test_unknown_model_types(config: dict[str, Any]) -> None:
    """Model types without a file are not found."""
    assert find_architecture(config) is None


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        ({"model_type": "llama", "intermediate_size": 28672, "vocab_size": 32000, **LLAMA}, 68_976_648_192),
        ({"model_type": "mistral", **MISTRAL}, 7_241_732_096),
        ({"model_type": "mixtral", **MISTRAL}, 46_702_792_704),
        ({"model_type": "qwen2", "intermediate_size": 29568, "vocab_size": 152064, **LLAMA}, 72_706_203_648),
        (
            {
                "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768,
                "num_hidden_layers": 48, "num_attention_heads": 32, "head_dim": 128, "vocab_size": 151936,
            },
            30_532_122_624,
        ),
        (
            {
                "model_type": "gemma2", "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42,
                "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 256000,
            },
            9_241_705_984,
        ),
        (
            {
                "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
                "vocab_size": 50257,
            },
            124_439_808,
        ),
        (
            {
                "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 24,
                "num_attention_heads": 64, "num_key_value_heads": 8, "num_local_experts": 32, "vocab_size": 201088,
            },
            20_914_757_184,
        ),
        (
            {
                "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
                "vocab_size": 65024,
            },
            6_921_720_704,
        ),
        ({"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400}, 6_050_882_784),
        (
            {"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112, "vocab_size": 250880},
            176_247_271_424,
        ),
        (
            {
                "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100352,
                "attn_config": {"kv_n_heads": 8},
                "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            },
            131_596_523_520,
        ),
        (
            {
                "model_type": "deepseek_v2", "hidden_size": 5120, "intermediate_size": 12288, "vocab_size": 102400,
                "num_hidden_layers": 60, "num_attention_heads": 128, "n_routed_experts": 160, "n_shared_experts": 2,
                "moe_intermediate_size": 1536, "first_k_dense_replace": 1,
            },
            235_741_434_880,
        ),
        (
            {
                "model_type": "gpt_bigcode", "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24576,
                "n_positions": 8192, "vocab_size": 49152,
            },
            15_517_456_384,
        ),
        (
            {
                "model_type": "falcon_mamba", "hidden_size": 4096, "intermediate_size": 8192, "num_hidden_layers": 64,
                "time_step_rank": 256, "vocab_size": 65024, "tie_word_embeddings": False,
            },
            7_272_665_088,
        ),
        (
            {
                "model_type": "granitemoehybrid", "hidden_size": 1536, "intermediate_size": 512, "vocab_size": 100352,
                "shared_intermediate_size": 1024, "num_local_experts": 64, "num_hidden_layers": 40,
                "num_attention_heads": 12, "num_key_value_heads": 4, "mamba_n_heads": 48, "mamba_d_state": 128,
                "layer_types": ["mamba" if i % 10 != 5 else "attention" for i in range(40)],
                "tie_word_embeddings": True,
            },
            6_939_037_248,
        ),
        (
            {
                "model_type": "dots1", "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 62,
                "moe_intermediate_size": 1408, "num_attention_heads": 32, "n_routed_experts": 128,
                "n_shared_experts": 2, "first_k_dense_replace": 1, "vocab_size": 152064,
            },
            142_774_381_696,
        ),
        (
            {
                "model_type": "hunyuan_v1_moe", "hidden_size": 4096, "intermediate_size": 3072, "num_experts": 64,
                "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128167,
                "tie_word_embeddings": True,
            },
            80_393_183_232,
        ),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_published_sizes(config: dict[str, Any], parameters: int) -> None:
    """Parameter counts computed from configs equal the published ones."""
    family = find_architecture(config)
    assert family is not None
    assert sum(tensor.elements for tensor in list_expected_tensors(family, config)) == parameters
