"""The families under test: a tiny config for each, and how published checkpoints differ from what transformers saves.

`lists` are the config attributes with one entry a layer, `derive` what else of transformers' own config must change
when layers are rearranged in memory: both set down by hand, so that the expectation owes nothing to stacker.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM

Auto = type[AutoModelForCausalLM] | type[AutoModelForMultimodalLM]
Config = dict[str, Any]
Pick = tuple[str, int]
"""A layer of a donor: the donor's name and the layer index."""

SMALL: Config = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FULL, SLIDING = "full_attention", "sliding_attention"
MIXED = [SLIDING, FULL, SLIDING, SLIDING, FULL, SLIDING]
"""Kinds of six layers without a period, so that no rule matches them by chance."""


def nothing(_: Config, __: list[Pick]) -> Config:
    """Config entries that most families derive."""
    return {}


class Names(Enum):
    """Tensors as published, or as transformers holds them in memory: experts fused, modules renamed."""

    HUB = "hub"
    MEMORY = "memory"


@dataclass(frozen=True)
class Case:
    """A family: its `model_type`, config entries over SMALL, and the style of its published checkpoints.

    `publish` edits config.json after saving; `rename` gives tensors the names they have on the hub; `inferred` says
    that no file of ours describes the family; `depth` is the config attribute for the number of layers; `names` say how
    tensors are stored; `auto` is the class of transformers that loads it.
    """

    model_type: str
    config: Config = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    derive: Callable[[Config, list[Pick]], Config] = nothing
    publish: Callable[[Config], Config] = lambda config: config
    rename: Callable[[str], str] = lambda name: name
    inferred: bool = False
    depth: str = "num_hidden_layers"
    names: Names = Names.HUB
    auto: Auto = AutoModelForCausalLM

    @property
    def wrapper(self) -> bool:
        """Whether the family is a wrapper, with a nested language model config."""
        return self.auto is not AutoModelForCausalLM


def without(*keys: str, **more: Any) -> Callable[[Config], Config]:
    """An older style: some keys removed, others added, element type and rotary base as transformers 4 wrote them."""

    def publish(config: Config) -> Config:
        kept = {key: value for key, value in config.items() if key not in (*keys, "dtype", "rope_parameters")}
        rope = config.get("rope_parameters") or {}
        theta = {"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {}
        return kept | {"torch_dtype": "float32"} | theta | more

    return publish


def dense_at(attribute: str) -> Callable[[Config, list[Pick]], Config]:
    """For `mlp_only_layers`: the indices of layers that are dense in their donor, if the sparse step is 1."""

    def derive(config: Config, picks: list[Pick]) -> Config:
        return {attribute: _places(picks, config[attribute]), "decoder_sparse_step": 1}

    return derive


def _stepped(config: Config, picks: list[Pick]) -> Config:
    dense = [i for i, (_, layer) in enumerate(picks) if (layer + 1) % config["decoder_sparse_step"]]
    return {"mlp_only_layers": dense, "decoder_sparse_step": 1}


EXPERTS: Config = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
GPT2: Config = {"n_embd": 32, "n_head": 4, "n_layer": 6, "n_positions": 64}
FALCON: Config = {"num_kv_heads": 2, "ffn_hidden_size": 48}
DELTA_RULE = "linear_attention"
DELTA: Config = {
    "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip
GEMMA: Config = {"head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 8}

KNOWN: dict[str, Case] = {
    "llama": Case("llama"),
    "llama, biases": Case("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, as published": Case("llama", publish=without("head_dim", "attention_bias", "mlp_bias")),
    "llama, tied": Case("llama", {"tie_word_embeddings": True}),
    "mistral": Case("mistral", {"sliding_window": 4}),
    "mixtral": Case("mixtral", EXPERTS),
    "qwen2": Case("qwen2", {"use_sliding_window": True, "sliding_window": 4, "layer_types": MIXED}, ("layer_types",)),
    "qwen2, as published": Case(
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 3},
        ("layer_types",),
        publish=without("layer_types"),
    ),
    "qwen3": Case(
        "qwen3",
        {"head_dim": 8, "use_sliding_window": True, "sliding_window": 4, "layer_types": MIXED},
        ("layer_types",),
    ),
    "qwen3_moe": Case(
        "qwen3_moe", {**EXPERTS, "head_dim": 8, "mlp_only_layers": [1, 4]}, derive=dense_at("mlp_only_layers")
    ),
    "qwen3_moe, by step": Case("qwen3_moe", {**EXPERTS, "head_dim": 8, "decoder_sparse_step": 2}, derive=_stepped),
    "qwen3_5_text": Case(
        "qwen3_5_text", {**DELTA, "layer_types": [DELTA_RULE, FULL, *[DELTA_RULE] * 2, FULL, FULL]}, ("layer_types",)
    ),
    "qwen3_5_text, as published": Case(
        "qwen3_5_text",
        {**DELTA, "full_attention_interval": 3},
        ("layer_types",),
        publish=without("layer_types", full_attention_interval=3),
    ),
    "gemma2": Case("gemma2", {**GEMMA, "layer_types": MIXED}, ("layer_types",)),
    "gemma2, as published": Case("gemma2", GEMMA, ("layer_types",), publish=without("layer_types")),
    "gemma3_text": Case("gemma3_text", {**GEMMA, "layer_types": MIXED}, ("layer_types",)),
    "gemma3_text, as published": Case(
        "gemma3_text",
        {**GEMMA, "sliding_window_pattern": 3},
        ("layer_types",),
        publish=without(
            "layer_types", "_sliding_window_pattern", rope_theta=1e6, rope_local_base_freq=1e4, sliding_window_pattern=3
        ),
    ),
    "phi3": Case("phi3"),
    "olmo2": Case("olmo2"),
    "gpt2": Case("gpt2", GPT2),
    "gpt2, as published": Case("gpt2", GPT2, publish=without(), rename=lambda name: name.removeprefix("transformer.")),
    "gpt_neox": Case("gpt_neox"),
    "gpt_neox, sequential": Case(
        "gpt_neox", {"use_parallel_residual": False}, publish=without(rotary_pct=0.25, rotary_emb_base=10000)
    ),
    "gpt_oss": Case("gpt_oss", {**EXPERTS, "head_dim": 8, "sliding_window": 4, "layer_types": MIXED}, ("layer_types",)),
    "gpt_oss, as published": Case(
        "gpt_oss", {**EXPERTS, "head_dim": 8, "sliding_window": 4}, ("layer_types",), publish=without("layer_types")
    ),
    "falcon 7b": Case("falcon", {**FALCON, "multi_query": True}),
    "falcon 40b": Case("falcon", {**FALCON, "new_decoder_architecture": True}),
    "falcon rw": Case(
        "falcon",
        {**FALCON, "alibi": True, "parallel_attn": False, "multi_query": False, "bias": True, "num_kv_heads": 4},
    ),
}


def _places(picks: list[Pick], layers: list[int]) -> list[int]:
    """The new indices of some of a donor's layers."""
    return [place for place, (_, layer) in enumerate(picks) if layer in layers]


MAMBA: Config = {
    "mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_expand": 2, "mamba_n_groups": 1,
    "mamba_chunk_size": 4,
}  # fmt: skip
LINEAR: Config = {
    "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "shared_expert_intermediate_size": 24,
}  # fmt: skip
DEEPSEEK: Config = {
    **EXPERTS, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 2, "kv_lora_rank": 8,
    "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "n_shared_experts": 1,
    "num_key_value_heads": 4,
}  # fmt: skip

FURTHER: dict[str, Case] = {
    "bamba": Case(
        "bamba",
        {**MAMBA, "attn_layer_indices": [1, 4]},
        derive=lambda config, picks: {"attn_layer_indices": _places(picks, config["attn_layer_indices"])},
    ),
    "gpt_neo": Case(
        "gpt_neo", {"num_layers": 6, "num_heads": 4, "window_size": 4, "attention_types": [[["global", "local"], 3]]},
        ("attention_layers",),
    ),
    "modernbert-decoder": Case(
        "modernbert-decoder", {"local_attention": 8, "layer_types": MIXED}, ("layer_types",)
    ),
    "qwen3_next, as published": Case(
        "qwen3_next", {**EXPERTS, **LINEAR, "full_attention_interval": 3, "decoder_sparse_step": 2}, ("layer_types",),
        publish=without("layer_types", full_attention_interval=3),
    ),
    "llama4_text, as published": Case(
        "llama4_text",
        {
            **EXPERTS, "head_dim": 8, "intermediate_size_mlp": 48, "interleave_moe_layer_step": 2,
            "no_rope_layer_interval": 3, "attention_chunk_size": 4,
        },
        ("layer_types", "no_rope_layers"),
        publish=without("layer_types", "moe_layers", no_rope_layers=[]),
    ),
    "cohere2": Case("cohere2", {"sliding_window": 4, "layer_types": MIXED}, ("layer_types",)),
    "cohere2, as published": Case(
        "cohere2",
        {"sliding_window": 4, "sliding_window_pattern": 4},
        ("layer_types",),
        publish=without("layer_types", sliding_window_pattern=4),
    ),
    "gemma3n_text": Case(
        "gemma3n_text",
        {
            "head_dim": 8, "sliding_window": 4, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 64, "laurel_rank": 8, "altup_num_inputs": 2, "layer_types": MIXED,
            "activation_sparsity_pattern": [0.0, 0.5, 0.0, 0.0, 0.5, 0.0],
        },
        ("layer_types", "activation_sparsity_pattern", "intermediate_size"),
    ),
    "gemma4_text, shared cache": Case(
        "gemma4_text",
        {
            "head_dim": 8, "global_head_dim": 8, "sliding_window": 4, "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64,
            "layer_types": [SLIDING, FULL, SLIDING, FULL, SLIDING, FULL],
        },
        ("layer_types",),
    ),
    "smollm3": Case(
        "smollm3",
        {"no_rope_layers": [1, 0, 1, 1, 0, 1], "layer_types": MIXED, "sliding_window": 4, "use_sliding_window": True},
        ("layer_types", "no_rope_layers"),
    ),
    "deepseek_v3": Case("deepseek_v3", DEEPSEEK),
    "glm4_moe": Case("glm4_moe", {**DEEPSEEK, "head_dim": 8, "num_key_value_heads": 2}),
    "granite": Case("granite"),
    "starcoder2": Case("starcoder2"),
    "lfm2": Case(
        "lfm2", {"layer_types": ["conv", FULL, "conv", "conv", FULL, "conv"], "block_auto_adjust_ff_dim": False},
        ("layer_types",),
    ),
    "lfm2, as published": Case(
        "lfm2", {"layer_types": ["conv", FULL, "conv", "conv", FULL, "conv"], "block_auto_adjust_ff_dim": False},
        ("layer_types",), publish=without("layer_types", full_attn_idxs=[1, 4]),
    ),
    "nemotron_h, as published": Case(
        "nemotron_h",
        {
            **EXPERTS, "head_dim": 8, "mamba_num_heads": 8, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 2,
            "n_routed_experts": 4, "moe_shared_expert_intermediate_size": 24, "chunk_size": 4,
            "layers_block_type": [DELTA_RULE, FULL, "moe", "mlp", FULL, DELTA_RULE],
        },
        ("layers_block_type",),
        publish=without("layers_block_type", hybrid_override_pattern="M*E-*M", num_hidden_layers=6),
    ),
    "kimi_linear, as published": Case(
        "kimi_linear",
        {
            **EXPERTS, "num_key_value_heads": 4, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
            "v_head_dim": 8, "linear_head_dim": 8, "linear_num_heads": 4, "linear_conv_kernel_dim": 4,
            "layer_types": [DELTA_RULE, FULL, DELTA_RULE, DELTA_RULE, FULL, DELTA_RULE],
            "mlp_layer_types": ["dense", *["sparse"] * 5],
        },
        ("layer_types", "mlp_layer_types"),
        publish=without(
            "layer_types", "mlp_layer_types", "linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim",
            first_k_dense_replace=1,
            linear_attn_config={
                "full_attn_layers": [2, 5], "kda_layers": [1, 3, 4, 6], "head_dim": 8, "num_heads": 4,
                "short_conv_kernel_size": 4,
            },
        ),
        rename=lambda name: re.sub(r"block_sparse_moe\.(?=(gate|up|down)_proj)", "mlp.", name),
    ),
    "mamba, as published": Case(
        "mamba", {"state_size": 8, "time_step_rank": 2, "intermediate_size": 64},
        publish=without("num_attention_heads", "num_key_value_heads", "intermediate_size", time_step_rank="auto"),
    ),
    "laguna, heads by layer": Case(
        "laguna",
        {
            **EXPERTS, "head_dim": 8, "sliding_window": 4, "shared_expert_intermediate_size": 24, "layer_types": MIXED,
            "mlp_layer_types": ["dense", "sparse", "sparse", "dense", "sparse", "sparse"],
            "num_attention_heads_per_layer": [4, 8, 4, 2, 6, 4],
        },
        ("layer_types", "mlp_layer_types", "num_attention_heads_per_layer"),
    ),
    "opt, as published": Case(
        "opt", {"ffn_dim": 48}, publish=without(), rename=lambda name: name.removeprefix("model."),
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[Case, list[str], str, str]] = {
    "dense layers first": (
        FURTHER["deepseek_v3"], ["a[0:4]", "b[0:6]"], "layers without experts must come first", "drop b[0:2]",
    ),
    "first layer its own": (
        FURTHER["modernbert-decoder"], ["a[1:4]"], "the first layer alone has no norm", "layers that fit there: a[0]",
    ),
    "position in the formula": (Case("diffllama"), ["a[0:2]", "a[3:6]"], "computed from the layer's position", "a[2]"),
    "nothing picked before it": (
        Case(
            "glm_moe_dsa",
            {
                **DEEPSEEK, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4,
                "indexer_types": ["full", "shared", "full", "full", "shared", "full"],
            },
        ),
        ["a[1:4]"], "uses the tokens that one before it picked", "put a layer that provides",
    ),
    "a fixed period": (
        Case(
            "jamba",
            {
                **EXPERTS, "mamba_d_state": 4, "mamba_expand": 2, "attn_layer_period": 3, "attn_layer_offset": 1,
                "mamba_dt_rank": 4, "use_mamba_kernels": False, "expert_layer_period": 3, "expert_layer_offset": 1,
            },
        ),
        ["a[0:2]", "a[4:6]", "a[0:2]"], "at a fixed period", "a stack that works: ",
    ),
    "index in the attention": (
        Case("gpt2", {**GPT2, "scale_attn_by_inverse_layer_idx": True}), ["a[0:3]", "a[2:6]"], "divided by", "a[3]",
    ),
}  # fmt: skip
"""Stacks that no config can express: the donors' family, the items, and words of the refusal and its hint."""
