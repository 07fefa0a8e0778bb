"""Older styles that are still published: former config keys, and tensors as transformers holds them in memory.

`bare` has the styles in which nothing stands but what a default rule needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import AutoModelForMultimodalLM

from tests.families.cases import DEEPSEEK, DELTA_RULE, EXPERTS, FULL, Case, Config, Names, dense_at, without
from tests.families.tiny import tiny_case
from tests.families.wrappers import wrapper_case

MAMBA = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 2, "mamba_n_groups": 1}
OLD_WORDS = {DELTA_RULE: "mamba", FULL: "attention", "indexed_attention": "deepseek_sparse_attention"}


def _worded(key: str) -> Case:
    """Granite 4 with the former names of layer kinds, under the given key."""
    kinds = [DELTA_RULE, FULL, DELTA_RULE, DELTA_RULE, FULL, DELTA_RULE]
    config = {**EXPERTS, **MAMBA, "shared_intermediate_size": 24, "layer_types": kinds}
    words: Config = {key: [OLD_WORDS[kind] for kind in kinds]}
    return Case("granitemoehybrid", config, ("layer_types",), publish=without("layer_types", **words))


def _flat(config: Config) -> Config:
    """A wrapper's config whose language model entries are not nested, as in Qwen 2 and 2.5 VL."""
    inner = {key: value for key, value in config["text_config"].items() if key not in ("model_type", "layer_types")}
    around = {key: value for key, value in config.items() if key not in ("text_config", "dtype")}
    return inner | around | {"torch_dtype": "float32"}


def _wrapper(model_type: str, lists: tuple[str, ...], *keys: str, **more: Any) -> Case:
    """A wrapper whose nested config has the given entries instead of per-layer ones."""
    case = wrapper_case(model_type)
    kept = {key: value for key, value in case.config["text_config"].items() if key not in keys}

    def publish(config: Config) -> Config:
        inner = {key: value for key, value in config["text_config"].items() if key not in (*keys, "dtype")}
        return without()(config) | {"text_config": inner | more}

    return replace(case, config=case.config | {"text_config": kept | more}, lists=lists, publish=publish)


OLDER: dict[str, Case] = {
    "granitemoehybrid, older words": _worded("layer_types"),
    "granitemoehybrid, older key": _worded("layers_block_type"),
    "mixtral, as in memory": Case("mixtral", EXPERTS, names=Names.MEMORY),
    "phimoe, as in memory": Case("phimoe", EXPERTS, names=Names.MEMORY),
    "olmoe, as in memory": Case("olmoe", EXPERTS, names=Names.MEMORY),
    "qwen3_moe, as in memory": Case(
        "qwen3_moe",
        {**EXPERTS, "head_dim": 8, "mlp_only_layers": [1, 4]},
        derive=dense_at("mlp_only_layers"),
        names=Names.MEMORY,
    ),
    "deepseek_v3, as in memory": Case("deepseek_v3", DEEPSEEK | {"first_k_dense_replace": 0}, names=Names.MEMORY),
    "bloom, as published": Case(
        "bloom",
        {"n_layer": 6, "n_head": 4},
        publish=lambda config: {key: value for key, value in config.items() if key != "hidden_size"} | {"n_embed": 32},
        rename=lambda name: name.removeprefix("transformer."),
    ),
    "deepseek_v2, lite": Case("deepseek_v2", DEEPSEEK | {"q_lora_rank": None, "first_k_dense_replace": 0}),
    "hunyuan_v1_moe, experts by layer": Case(
        "hunyuan_v1_moe", {"num_experts": 4, "head_dim": 8, "moe_topk": [1, 2, 3, 2, 1, 2]}, ("moe_topk",)
    ),
    "deepseek_v4, as in memory": replace(
        tiny_case("deepseek_v4"), lists=("layer_types", "mlp_layer_types"), names=Names.MEMORY
    ),
    "gemma3, as published": _wrapper("gemma3", ("layer_types",), "layer_types"),
    "llama4, as published": _wrapper(
        "llama4",
        ("layer_types", "no_rope_layers"),
        *("layer_types", "moe_layers", "no_rope_layers"),
        no_rope_layer_interval=3,
        interleave_moe_layer_step=2,
    ),
    "qwen2_5_vl, not nested": Case(
        "qwen2_5_vl", wrapper_case("qwen2_5_vl").config, ("layer_types",), publish=_flat, auto=AutoModelForMultimodalLM
    ),
}
