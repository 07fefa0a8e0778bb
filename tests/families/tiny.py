"""Makes a tiny config for any family: sizes by attribute name, mixed kinds of layers, and entries of `tiny.yaml`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.families.cases import Case, Config, Pick

DEPTH = 6


@cache
def tiny_data() -> dict[str, Any]:
    """The entries of tiny.yaml."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text(encoding="utf-8"))
    return found


def decoder_families() -> list[str]:
    """The decoder-only model types of transformers' causal language model mapping."""
    beyond = {name for names in tiny_data()["beyond"].values() for name in names}
    return sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - beyond)


def tiny_case(model_type: str) -> Case:
    """A case of the family as saved by transformers, with layers as varied as its config class allows."""
    entries = tiny_entries(model_type)
    if entries.get("num_hidden_layers", DEPTH) is None:  # the class counts something else by this name
        del entries["num_hidden_layers"]
        return Case(model_type, entries, derive=by_place, depth="num_layers")
    return Case(model_type, entries, derive=by_place)


def larger_case(model_type: str) -> Case:
    """The same case with every size changed by a factor of its own."""
    case = tiny_case(model_type)
    sizes = {key: value for key, value in tiny_data()["larger"].items() if isinstance(case.config.get(key), int)}
    if "qk_rope_head_dim" in sizes and "num_key_value_heads" in sizes:  # latent attention has keys for every head
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    own = tiny_data()["larger_families"].get(model_type, {})
    return replace(case, config=case.config | sizes | own)


def tiny_entries(model_type: str) -> Config:
    """Config entries that make a family's model tiny."""
    usual = AutoConfig.for_model(model_type)
    own: Config = tiny_data()["families"].get(model_type, {})
    return _sizes(usual) | _kinds(usual) | own


def by_place(config: Config, picks: list[Pick]) -> Config:
    """Lists of layer indices and entries by layer, with the layers' new indices."""
    found: Config = {}
    for key in tiny_data()["index_sets"]:
        if isinstance(config.get(key), list):
            found[key] = [place for place, (_, layer) in enumerate(picks) if layer in config[key]]
    if config.get("block_types"):
        found["block_types"] = [config["block_types"][layer % len(config["block_types"])] for _, layer in picks]
    if config.get("per_layer_config"):
        own = {int(layer): entries for layer, entries in config["per_layer_config"].items()}
        found["per_layer_config"] = {place: own[layer] for place, (_, layer) in enumerate(picks) if layer in own}
    for period, offset in tiny_data()["periods"]:
        if period in config:
            places = [place for place, (_, layer) in enumerate(picks) if layer % config[period] == config[offset]]
            gap = places[1] - places[0] if len(places) > 1 else len(picks) + 1
            found |= {period: gap, offset: places[0] % gap if places else len(picks)}
    return found


def _sizes(usual: PreTrainedConfig) -> Config:
    there = usual.to_dict()
    known = {*there, *type(usual).attribute_map, "num_hidden_layers", "hidden_size", "num_attention_heads"}
    sizes = {
        key: value
        for key, value in tiny_data()["sizes"].items()
        if key in known and not isinstance(there.get(key), list)
    }
    return sizes | ({"num_key_value_heads": 4} if "qk_rope_head_dim" in known else {})


def _kinds(usual: PreTrainedConfig) -> Config:
    found: Config = {}
    there = usual.to_dict()
    name = type(usual).attribute_map.get("layer_types", "layer_types")
    kinds = list(dict.fromkeys(there.get(name) or ()))
    if kinds:
        found[name] = [kinds[min(each, len(kinds) - 1)] for each in tiny_data()["mixed"]]
    if there.get("mlp_layer_types"):
        found["mlp_layer_types"] = tiny_data()["mixed_mlp"]
    return found
