"""Makes a case deeper: the same family with 12 layers instead of six, so that some layer indices have two digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.families.cases import SMALL, Case, Config
from tests.families.tiny import tiny_data

DEPTH = 12
SHALLOW: int = SMALL["num_hidden_layers"]
KINDS = (*range(SHALLOW), 2, 3, 4, 5, 0, 1)
"""For each of the 12 layers, the layer of the shallow case that it is like; the order has no period."""

_DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_NUMBERED_FROM_ONE = ("full_attn_layers", "kda_layers")


def deepen(case: Case) -> Case:
    """The case with 12 layers, in its config and in the config.json that it publishes."""
    usual = {} if case.wrapper or case.depth != "num_hidden_layers" else {case.depth: DEPTH}

    def publish(config: Config) -> Config:
        published = case.publish(config)
        own = {key: value for key, value in published.items() if key not in config or config[key] != value}
        return published | deepen_entries(own)

    return replace(case, config=deepen_entries(case.config) | usual, publish=publish)


def deepen_entries(config: Config) -> Config:
    """Config entries of six layers, changed to describe 12."""
    return {key: _deepen_entry(key, value) for key, value in config.items()}


def _deepen_entry(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return deepen_entries(value)
    if key in _DEPTH_KEYS:
        return DEPTH if value == SHALLOW else value
    if key == "attention_types":
        return [
            [pattern, count * DEPTH // SHALLOW if count * len(pattern) == SHALLOW else count]
            for pattern, count in value
        ]
    if key in (*tiny_data()["index_sets"], "local_layer_ids", *_NUMBERED_FROM_ONE) and isinstance(value, list):
        return _deepen_indices(value, int(key in _NUMBERED_FROM_ONE))
    if isinstance(value, list) and len(value) == SHALLOW:
        return [value[kind] for kind in KINDS]
    if key == "hybrid_override_pattern" and len(value) == SHALLOW:
        return "".join(value[kind] for kind in KINDS)
    return value


def _deepen_indices(value: list[int], first: int) -> list[int]:
    """The indices of the 12 layers that are like those in `value`; `first` is the index of the first layer.

    Lists that already have an index beyond the shallow case are returned unchanged.
    """
    if any(index - first >= SHALLOW for index in value):
        return value
    return [layer + first for layer, kind in enumerate(KINDS) if kind + first in value]
