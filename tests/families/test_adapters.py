"""Adapters that peft saves, folded by stacker: the weights and logits are those of peft's own merge and model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from stacker.compose import load
from tests.families.oracle import write_donor
from tests.families.tiny import tiny_case

pytest.importorskip("peft")
import peft

TOKENS = torch.tensor([[3, 17, 41, 5, 29, 8, 60, 22]])
ALL = "all-linear"
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {"target_modules": ALL, "r": 5, "lora_alpha": 7}),
    "dora and rslora": ("llama", {"target_modules": ALL, "use_dora": True, "use_rslora": True}),
    "patterns": (
        "llama",
        {
            "target_modules": ["q_proj", "down_proj"],
            "rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 3},
            "alpha_pattern": {"down_proj": 5},
            "layers_to_transform": [0, 1, 3],
        },
    ),
    "both ends": ("llama", {"target_modules": ["q_proj", "embed_tokens", "lm_head"], "r": 4}),
    "dora embedding": ("llama", {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True}),
    "modules to save": ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]}),
    "trainable tokens": ("llama", {"target_modules": ["q_proj"], "trainable_token_indices": [11, 3, 4]}),
    "tied tokens": ("gpt2", {"target_modules": ["c_attn"], "trainable_token_indices": {"wte": [11, 3]}}),
    "all biases": ("qwen2", {"target_modules": ALL, "bias": "all"}),
    "lora bias": ("qwen2", {"target_modules": ["q_proj", "k_proj"], "lora_bias": True, "bias": "lora_only"}),
    "transposed": ("gpt2", {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "transposed dora": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "use_dora": True}),
    "untied": ("gpt2", {"target_modules": ["c_attn", "wte"]}),
    "kept tied": ("gpt2", {"target_modules": ["c_attn", "wte"], "ensure_weight_tying": True}),
    "kept tied and saved": (
        "gpt2",
        {"target_modules": ["c_attn"], "modules_to_save": ["wte"], "ensure_weight_tying": True},
    ),
    "fused attention": ("phi3", {"target_modules": ALL}),
    "experts one by one": ("mixtral", {"target_modules": ALL}),
    "experts by parameters": ("qwen3_moe", {"target_modules": [], "target_parameters": EXPERTS}),
    "experts and router": (
        "mixtral",
        {"target_modules": ["q_proj"], "target_parameters": [*EXPERTS, "mlp.gate.weight"], "use_rslora": True},
    ),
    "transposed experts": ("gpt_oss", {"target_modules": [], "target_parameters": ["experts.down_proj", EXPERTS[0]]}),
    "renamed experts": ("granitemoe", {"target_modules": ALL}),
    "renamed router": ("gpt_oss", {"target_modules": ["q_proj"], "target_parameters": ["mlp.router.weight"]}),
    **{family: (family, {"target_modules": ALL}) for family in ("gemma2", "falcon", "bloom", "opt", "gpt_neox")},
    "attention and mamba": ("jamba", {"target_modules": ["q_proj", "in_proj", "x_proj"]}),
}
_FAST = ("plain", "dora and rslora", "trainable tokens", "untied", "experts one by one")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let peft warn: about embeddings, tied modules and names that it cannot check."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    ("family", "entries"),
    [pytest.param(*case, id=name, marks=[] if name in _FAST else [pytest.mark.slow]) for name, case in CASES.items()],
)
def test_as_peft_does(tmp_path: Path, family: str, entries: dict[str, Any]) -> None:
    """The stack's logits are those of peft's model before it merges; its weights are those that peft merges."""
    write_donor(tiny_case(family), tmp_path / "a", seed=1)
    _train(tmp_path / "a", entries).save_pretrained(tmp_path / "lora")
    model = peft.PeftModel.from_pretrained(_load(tmp_path / "a"), tmp_path / "lora").eval()
    with torch.no_grad():
        wanted = model(TOKENS, use_cache=False).logits
    spec = {"stacker": 1, "donors": {"x": {"source": "./a", "adapters": ["./lora"]}}, "stack": ["x"]}
    (tmp_path / "s.yml").write_text(json.dumps(spec))
    load(tmp_path / "s.yml").build(tmp_path / "out")
    made = _load(tmp_path / "out")
    with torch.no_grad():
        torch.testing.assert_close(made(TOKENS, use_cache=False).logits, wanted, rtol=1e-4, atol=1e-4)
    merged, found = model.merge_and_unload(), made.state_dict()
    if not merged.config.tie_word_embeddings:  # peft changes both ends of tied embeddings where it changes one
        for name, tensor in merged.state_dict().items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)


def test_bfloat16(tmp_path: Path) -> None:
    """A bf16 donor with an fp32 LoRA: every element is peft's, or its neighbour where the sums round differently."""
    write_donor(tiny_case("llama"), tmp_path / "a32", seed=1)
    _load(tmp_path / "a32").to(torch.bfloat16).save_pretrained(tmp_path / "a")
    _train(tmp_path / "a", {"target_modules": ALL}).save_pretrained(tmp_path / "lora")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.bfloat16)
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "lora").merge_and_unload().state_dict()
    spec = {"stacker": 1, "donors": {"x": {"source": "./a", "adapters": ["./lora"]}}, "stack": ["x"]}
    (tmp_path / "s.yml").write_text(json.dumps(spec))
    load(tmp_path / "s.yml").build(tmp_path / "out")
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16).state_dict()
    differing = sum(int((made[name] != tensor).sum()) for name, tensor in merged.items())
    assert differing < 1e-3 * sum(tensor.numel() for tensor in merged.values())
    for name, tensor in merged.items():
        torch.testing.assert_close(made[name].float(), tensor.float(), rtol=2**-7, atol=1e-6)


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _train(donor: Path, entries: dict[str, Any]) -> Any:
    """A peft model whose trainable parameters are moved by random numbers, as if it had been trained."""
    torch.manual_seed(0)
    model = peft.get_peft_model(_load(donor), peft.LoraConfig(**entries))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model
