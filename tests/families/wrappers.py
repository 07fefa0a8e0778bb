"""Makes a tiny config for any wrapper: its language model like the tiny family, and small vision and audio towers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoConfig, AutoModelForMultimodalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

from tests.families.cases import Case, Config
from tests.families.tiny import by_place, tiny_entries

TEXT = ("text_config", "language_config", "llm_config")


@cache
def wrapper_data() -> dict[str, Any]:
    """The entries of wrappers.yaml."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "wrappers.yaml").read_text(encoding="utf-8"))
    return found


def wrapper_families() -> list[str]:
    """The model types of transformers' multimodal mapping whose language model is decoder-only."""
    beyond = {name for names in wrapper_data()["beyond"].values() for name in names}
    return sorted(set(MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES) - beyond)


def wrapped_languages() -> dict[str, str]:
    """The family of each wrapper's language model; its own model type if nothing is nested."""
    return {name: _language_of(AutoConfig.for_model(name)) for name in wrapper_families()}


def _language_of(config: PreTrainedConfig) -> str:
    inner = next((inner for name in TEXT if (inner := getattr(config, name, None)) is not None), config)
    return str(inner.model_type)


def wrapper_case(model_type: str) -> Case:
    """A case of the wrapper as saved by transformers, with layers as varied as its config class allows."""
    usual = AutoConfig.for_model(model_type)
    there, own = usual.to_dict(), wrapper_data()["families"].get(model_type, {})
    entries = tiny_entries(model_type) if not type(usual).sub_configs else {}
    entries |= wrapper_data()["own"] | {key: value for key, value in own.items() if not isinstance(value, dict)}
    for name in type(usual).sub_configs:
        inner = there.get(name)
        kind = inner.get("model_type") if isinstance(inner, dict) else None
        if kind:
            entries[name] = {"model_type": kind} | (tiny_entries(kind) if name in TEXT else _small(kind))
        if name in own:
            entries[name] = entries.get(name, {}) | own[name]
    return Case(model_type, entries, derive=by_place, auto=AutoModelForMultimodalLM)


def _small(model_type: str) -> Config:
    """The sizes of a tower that its config has attributes for."""
    usual = AutoConfig.for_model(model_type)
    there = usual.to_dict()
    known = {*there, *type(usual).attribute_map}
    sizes = {key: value for key, value in wrapper_data()["sizes"].items() if key in known}
    floats = {key: float(value) for key, value in sizes.items() if isinstance(there.get(key), float)}
    return {key: value for key, value in sizes.items() if not isinstance(there.get(key), list)} | floats
