"""Tiny models of one family in several sizes and with its switches turned: their configs, and the tensors they save."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tests.families.cases import SMALL, Case, Config
from tests.families.oracle import write_donor
from tests.families.tiny import tiny_case

SIZES: tuple[Config, ...] = (
    {},
    {
        "hidden_size": 64, "intermediate_size": 80, "num_attention_heads": 8, "num_key_value_heads": 4,
        "vocab_size": 96, "head_dim": 16, "moe_intermediate_size": 40, "intermediate_size_mlp": 88,
        "num_experts": 6, "num_local_experts": 6, "n_routed_experts": 6, "n_shared_experts": 2,
        "kv_lora_rank": 12, "q_lora_rank": 20, "qk_nope_head_dim": 14, "v_head_dim": 10, "qk_rope_head_dim": 18,
        "shared_expert_intermediate_size": 28, "linear_num_key_heads": 4, "linear_num_value_heads": 8,
        "linear_key_head_dim": 6, "linear_value_head_dim": 10,
    },
    {
        "hidden_size": 96, "intermediate_size": 56, "num_attention_heads": 6, "num_key_value_heads": 3,
        "vocab_size": 112, "head_dim": 22, "moe_intermediate_size": 44, "intermediate_size_mlp": 72,
        "num_experts": 10, "num_local_experts": 10, "n_routed_experts": 10, "n_shared_experts": 3,
        "kv_lora_rank": 26, "q_lora_rank": 34, "qk_nope_head_dim": 38, "v_head_dim": 46, "qk_rope_head_dim": 30,
        "shared_expert_intermediate_size": 52,
    },
)  # fmt: skip
"""What is changed in each further sample, where the family's config has it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A config as saved, and the shapes of the tensors saved with it; `switch` is the flag turned in it, if one is."""

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    switch: str = ""


def make_samples(model_type: str) -> tuple[list[Sample], list[Sample]]:
    """Samples of several sizes, and of the first size with one switch turned in each."""
    case = tiny_case(model_type)
    first = _saved(case)
    known = {**SMALL, **case.config}
    sized = [first]
    for sizes in SIZES[1:]:
        changes = {key: value for key, value in sizes.items() if key in known and _follows(key, known)}
        sized += _tried(replace(case, config={**case.config, **changes}))
    return sized, list(_switched(case, first))


def _follows(key: str, known: Config) -> bool:
    """Whether a size is free: not where latent attention fixes the number of key heads."""
    return key != "num_key_value_heads" or "qk_rope_head_dim" not in known


def _switched(case: Case, first: Sample) -> Iterator[Sample]:
    for key, value in first.config.items():
        if isinstance(value, bool) and (
            "bias" in key or "norm" in key or key.startswith("use_") or key == "multi_query"
        ):
            for sample in _tried(replace(case, config={**case.config, key: not value})):
                yield replace(sample, switch=key)


def _tried(case: Case) -> list[Sample]:
    """The sample, or none where the family's config does not allow it."""
    try:
        return [_saved(case)]
    except (ValueError, RuntimeError, TypeError, ZeroDivisionError):
        return []


def _saved(case: Case) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        home = write_donor(case, Path(folder) / "a", 0)
        config = json.loads((home / "config.json").read_text())
        with safe_open(home / "model.safetensors", "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return Sample(config, shapes)
