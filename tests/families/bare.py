"""Donors with sparse configs, which leave out per-layer entries that transformers derives."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoConfig

from tests.families.cases import Case, Config
from tests.families.deep import DEPTH, SHALLOW, deepen, deepen_entries
from tests.families.tiny import by_place, tiny_case, tiny_data


@cache
def bare_data() -> dict[str, Any]:
    """The entries of bare.yaml."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "bare.yaml").read_text(encoding="utf-8"))
    return found


def bare_families() -> list[str]:
    """Families whose configs may leave out per-layer entries."""
    return sorted(bare_data()["families"])


def bare_case(model_type: str) -> Case:
    """A case of the family with its default layers, whose config.json leaves out the per-layer entries."""
    return _leave_out(tiny_case(model_type), _own_entries(model_type))


def deep_bare_case(model_type: str) -> Case:
    """The same case with 12 layers."""
    return _leave_out(deepen(tiny_case(model_type)), deepen_entries(_own_entries(model_type)))


def _own_entries(model_type: str) -> Config:
    return bare_data()["families"][model_type] or {}


def _leave_out(usual: Case, own: Config) -> Case:
    """A case without the per-layer entries of `usual`, whose config.json has the entries `own` instead."""
    kept = {key: value for key, value in usual.config.items() if not _follows(key, value)}

    def publish(config: Config) -> Config:
        words = {key: value for key, value in config.items() if key != "dtype"} | own
        for key in [key for key, value in words.items() if key not in own and _follows(key, value)]:
            without = {name: value for name, value in words.items() if name != key}
            if _read(without, own) == _read(words, own):
                words = without
        return words | {"torch_dtype": "float32"}

    return Case(usual.model_type, kept | own, derive=by_place, publish=publish, depth=usual.depth)


def _follows(key: str, value: Any) -> bool:
    """Whether a config entry holds a value for each layer, or layer indices."""
    by_layer = isinstance(value, list) and len(value) in (SHALLOW, DEPTH)
    return by_layer or key in (*tiny_data()["index_sets"], "per_layer_config", "attention_types", "block_types")


def _read(config: Config, own: Config) -> Config:
    """The config as loaded by transformers, without entries of older styles, which it may or may not keep."""
    entries = {key: value for key, value in config.items() if key != "model_type"}
    found: Config = AutoConfig.for_model(config["model_type"], **entries).to_dict()
    return {key: value for key, value in found.items() if key not in own}
