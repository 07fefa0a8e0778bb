"""The config and the names of tensors of adapters: what they mean, and everything that is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stacker.errors import DonorError
from stacker.formats.adapters import AdapterPart, group_adapter_tensors, parse_adapter_config

PLAIN: dict[str, Any] = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}


def test_scaling() -> None:
    """α/r, or α/√r with rsLoRA; patterns match whole last parts of a path, and the first that matches counts."""
    entries = {**PLAIN, "rank_pattern": {"q_proj": 4, r"layers\.1\..*": 2}, "alpha_pattern": {"k_proj": 4}}
    config, _ = parse_adapter_config(entries, "x")
    assert [config.find_scaling(f"layers.{path}") for path in ("0.v", "0.q_proj", "1.v", "0.k_proj")] == [2, 4, 8, 0.5]
    assert config.find_rank("layers.0.xq_proj") == 8
    rooted, _ = parse_adapter_config({**PLAIN, "use_rslora": True, "r": 16}, "x")
    assert rooted.find_scaling("v") == 4.0


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "IA³": ({"peft_type": "IA3"}, "this adapter is IA³, and only LoRAs can be folded"),
    "prefix tuning": ({"peft_type": "PREFIX_TUNING"}, "this adapter is prefix tuning"),
    "no kind": ({"peft_type": None}, "this adapter is no kind"),
    "aLoRA": ({"alora_invocation_tokens": [1]}, "aLoRA acts only on the tokens after"),
    "BD-LoRA": ({"use_bdlora": {"nblocks": 2}}, "BD-LoRA's factors"),
    "QALoRA": ({"use_qalora": True}, "QALoRA pools"),
    "KaSA": ({"kasa_config": {"beta": 1}}, "KaSA also cuts"),
    "Arrow": ({"arrow_config": {"top_k": 1}}, "Arrow chooses"),
    "VeLoRA": ({"velora_config": {"a": 1}}, "VeLoRA is not known"),
    "MonteCLoRA": ({"monteclora_config": {"a": 1}}, "MonteCLoRA draws"),
    "Megatron": ({"megatron_config": {"a": 1}}, "divided between Megatron's processes"),
    "replication": ({"layer_replication": [[0, 2]]}, "its base is a stack of repeated layers"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_4"}, "a base that PiSSA has changed"),
    "OLoRA": ({"init_lora_weights": "olora"}, "a base that OLoRA has changed"),
    "rank": ({"r": 0}, "`r` cannot be 0"),
    "rank as text": ({"r": "8"}, "`r` cannot be 8"),
    "alpha": ({"lora_alpha": "x"}, "`lora_alpha` cannot be x"),
    "patterns": ({"rank_pattern": {"q": 0}}, "`rank_pattern` cannot be"),
    "no table of patterns": ({"rank_pattern": True, "alpha_pattern": {"q": 2}}, "`rank_pattern` cannot be"),
    "a number without end": ({"lora_alpha": 10**400}, "`lora_alpha` cannot be"),
    "pattern of two meanings": ({"rank_pattern": {"[[a]": 2}}, "is not valid"),
    "slow pattern": ({"rank_pattern": {"(a+)+b": 2}}, "could take too long"),
    "broken pattern": ({"alpha_pattern": {"(": 2}}, "is not valid"),
    "tokens": ({"trainable_token_indices": [1, 1]}, "`trainable_token_indices` cannot be"),
}


@pytest.mark.parametrize(("entries", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(entries: dict[str, Any], message: str) -> None:
    """Each is refused with an error that names it."""
    with pytest.raises(DonorError, match=re.escape(message)):
        parse_adapter_config({**PLAIN, **entries}, "x")


def test_unknown_entries() -> None:
    """An entry that switches something on which is not known is a warning; one that switches it off is nothing."""
    _, warnings = parse_adapter_config({**PLAIN, "use_new": True, "use_other": False, "unsloth_fixed": True}, "x")
    assert [warning.message for warning in warnings] == ["`use_new` is unknown, and has no effect here"]


def test_names() -> None:
    """Tensors are grouped by module; nested parameters keep their depth, and wrappers are no part of paths."""
    names = [
        "base_model.model.m.q.lora_A.weight", "base_model.model.m.q.lora_B.weight", "base_model.model.m.q.lora_B.bias",
        "base_model.model.m.q.lora_magnitude_vector", "base_model.model.m.q.base_layer.bias",
        "base_model.model.m.experts.base_layer.lora_A.weight", "base_model.model.m.experts.lora_A.weight",
        "base_model.model.e.lora_embedding_A", "base_model.model.e.base_layer.weight",
        "base_model.model.e.token_adapter.trainable_tokens_delta", "base_model.model.n.modules_to_save.weight",
    ]  # fmt: skip
    found = {(each.path, each.depth): set(each.tensors) for each in group_adapter_tensors(names, "x")}
    part = AdapterPart
    assert found == {
        ("m.q", 0): {part.A, part.B, part.B_BIAS, part.MAGNITUDES, part.BIAS},
        ("m.experts", 1): {part.A},
        ("m.experts", 0): {part.A},
        ("e", 0): {part.EMBEDDING_A, part.WEIGHT, part.TOKENS},
        ("n", 0): {part.WEIGHT},
    }


@pytest.mark.parametrize("name", ["q.lora_A.weight", "base_model.model.q.lora_E", "base_model.model.q.lora_A.x.weight"])
def test_unknown_names(name: str) -> None:
    """A tensor that is not understood is refused, so that no part of an adapter is left out silently."""
    with pytest.raises(DonorError, match="is of a kind of adapter that is not known"):
        group_adapter_tensors([name], "x")
