"""Corrections of the oracle outside the layers: tables with a part for each layer, and shared keys and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedConfig

from tests.families.cases import Pick

TABLES = {"embed_tokens_per_layer": 1, "per_layer_model_projection": 0}
"""Modules whose weight holds an equal part for each layer along one dimension."""
BEFORE = frozenset({*TABLES, "per_layer_projection_norm", "altup_projections"})
"""Modules that act before the layers although they are registered after them."""


def share_out(
    owner: torch.nn.Module,
    donors: Mapping[str, tuple[torch.nn.Module, int]],
    picks: Sequence[Pick],
    blended: Mapping[int, Pick],
) -> None:
    """Rebuild the tables of the layers' owner from the parts of the picked layers; donors come with their depth."""
    for name, axis in TABLES.items():
        if not isinstance(getattr(owner, name, None), torch.nn.Module):
            continue
        parts = [_part(donors, name, axis, pick) for pick in picks]
        for place, pick in blended.items():
            parts[place] = 0.5 * parts[place] + 0.5 * _part(donors, name, axis, pick)
        getattr(owner, name).weight = torch.nn.Parameter(torch.cat(parts, axis).contiguous())


def _part(donors: Mapping[str, tuple[torch.nn.Module, int]], name: str, axis: int, pick: Pick) -> torch.Tensor:
    donor, depth = donors[pick[0]]
    weight: torch.Tensor = getattr(donor, name).weight.detach()
    return weight.chunk(depth, axis)[pick[1]]


def share_cache(owner: torch.nn.Module, layers: Sequence[torch.nn.Module], config: PreTrainedConfig) -> None:
    """For each kind of attention, the last layers that compute keys and values share them with the following ones."""
    attentions: list[dict[str, Any]] = [vars(getattr(layer, "self_attn", None) or layer) for layer in layers]
    if not any(each.get("is_kv_shared_layer") for each in attentions):
        return
    makers = [each for each in attentions if not each["is_kv_shared_layer"]]
    last = {each["layer_type"]: each for each in makers}
    for each in makers:
        each["store_full_length_kv"] = last[each["layer_type"]] is each
    config.num_kv_shared_layers = len(attentions) - len(makers)
    if hasattr(owner, "first_kv_shared_layer_idx"):
        owner.first_kv_shared_layer_idx = len(makers)  # type: ignore[assignment]  # a number, not a module
