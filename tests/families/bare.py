"""Families as sparse configs have them: nothing that follows the layers stands there if transformers finds it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoConfig

from tests.families.cases import SMALL, Case, Config
from tests.families.tiny import by_place, tiny_case, tiny_data


@cache
def bare_data() -> dict[str, Any]:
    """The entries of bare.yaml."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "bare.yaml").read_text(encoding="utf-8"))
    return found


def bare_families() -> list[str]:
    """Families whose configs may leave out what follows the layers."""
    return sorted(bare_data()["families"])


def bare_case(model_type: str) -> Case:
    """The family with layers as its own defaults make them, and a config.json that leaves them to those."""
    own: Config = bare_data()["families"][model_type] or {}
    usual = tiny_case(model_type)
    kept = {key: value for key, value in usual.config.items() if not _follows(key, value)}

    def publish(config: Config) -> Config:
        words = {key: value for key, value in config.items() if key != "dtype"} | own
        for key in [key for key, value in words.items() if key not in own and _follows(key, value)]:
            without = {name: value for name, value in words.items() if name != key}
            if _read(without, own) == _read(words, own):
                words = without
        return words | {"torch_dtype": "float32"}

    return Case(model_type, kept | own, derive=by_place, publish=publish, depth=usual.depth)


def _follows(key: str, value: Any) -> bool:
    """Whether an entry has something for each layer, or names layers by number."""
    deep = isinstance(value, list) and len(value) == SMALL["num_hidden_layers"]
    return deep or key in (*tiny_data()["index_sets"], "per_layer_config", "attention_types", "block_types")


def _read(config: Config, own: Config) -> Config:
    """What transformers makes of a config, less the entries of older styles that it may keep or not."""
    entries = {key: value for key, value in config.items() if key != "model_type"}
    found: Config = AutoConfig.for_model(config["model_type"], **entries).to_dict()
    return {key: value for key, value in found.items() if key not in own}
