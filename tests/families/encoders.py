"""Tiny encoders with random weights, and their layers rearranged in memory by transformers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from tests.families.cases import Config, Pick
from tests.families.oracle import TOKENS, layers_of
from tests.families.tiny import tiny_entries

SIZES: Config = {
    "type_vocab_size": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dim": 32, "hidden_dim": 48,
    "n_layers": 6, "max_position_embeddings": 64,
}  # fmt: skip
OWN: dict[str, Config] = {
    "albert": {"embedding_size": 16, "num_hidden_groups": 6},
    "deberta-v2": {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "norm_rel_ebd": "layer_norm", "position_buckets": 4,
    },
    "electra": {"embedding_size": 16},
    "mobilebert": {"intra_bottleneck_size": 16, "true_hidden_size": 16, "embedding_size": 32},
    "modernbert": {"local_attention": 4},
}  # fmt: skip
LAST = ("pooler", "final_norm", "emb_layer_norm_after", "norm", "ln_f", "ln", "LayerNorm")
"""Modules inside the base model that act after the layers."""


def write_encoder(model_type: str, auto: Any, folder: Path, seed: int, **entries: Any) -> Path:
    """A tiny encoder of the class that `auto` chooses: every weight random, norms around one."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **(tiny_entries(model_type) | SIZES | OWN.get(model_type, {}) | entries))
    model = auto.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn_like(tensor) * 0.3
            tensor.copy_(1 + noise if "norm" in name.lower() else noise)
    model.save_pretrained(folder)
    return folder


def rearrange(donors: Mapping[str, PreTrainedModel], picks: Sequence[Pick]) -> PreTrainedModel:
    """The picked layers in one model, with the embedding of the first layer's donor and the head of the last's."""
    first, last = donors[picks[0][0]], donors[picks[-1][0]]
    model = copy.deepcopy(first)
    layers = [copy.deepcopy(layers_of(donors[name])[layer]) for name, layer in picks]
    owner = next(each for each in model.modules() if layers_of(model) in each.children())
    attribute = next(name for name, child in owner.named_children() if child is layers_of(model))
    setattr(owner, attribute, torch.nn.ModuleList(layers))
    _renumber(layers)
    for name, module in last.named_modules():
        inside = name.startswith(f"{model.base_model_prefix}.") or not hasattr(model, model.base_model_prefix)
        path, _, leaf = name.rpartition(".")
        relative = hasattr(last.get_submodule(path), "rel_embeddings")  # a norm beside these is theirs
        after = leaf in LAST and not relative if inside else path == "" and leaf not in ("", model.base_model_prefix)
        if after and not any(part.isdigit() for part in path.split(".")) and "embeddings" not in path:
            setattr(model.get_submodule(path), leaf, copy.deepcopy(module))
    for module in model.modules():
        if hasattr(module, "config"):
            module.config.num_hidden_layers = len(picks)
            if hasattr(module.config, "num_hidden_groups"):
                module.config.num_hidden_groups = len(picks)
            if getattr(module.config, "layer_types", None) and model.config.model_type == "qwen3":
                module.config.layer_types = ["full_attention"] * len(picks)
    return model.eval()


def _renumber(layers: Sequence[torch.nn.Module]) -> None:
    for index, layer in enumerate(layers):
        for module in layer.modules():
            if isinstance(vars(module).get("layer_idx"), int):
                vars(module)["layer_idx"] = index


def answer_of(model: PreTrainedModel) -> torch.Tensor:
    """The logits of a prompt; of a base model the last hidden states, and what its pooler makes of them."""
    with torch.no_grad():
        found = model(TOKENS)
    if "logits" in found:
        logits: torch.Tensor = found.logits
        return logits
    return torch.cat(
        [each.flatten() for each in (found.last_hidden_state, found.get("pooler_output")) if each is not None]
    )
