"""A LoRA on a real language model: folding it gives what peft's merge gives, in weights and in logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import stacker
from tools import smollm2

peft = pytest.importorskip("peft")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")]
ENTRIES: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": "all-linear", "r": 16, "lora_alpha": 32},
    "dora": {"target_modules": ["q_proj", "o_proj", "down_proj"], "r": 8, "use_dora": True, "use_rslora": True},
}


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES)
def test_folding_is_merging(donor: Path, tmp_path: Path, entries: dict[str, Any]) -> None:
    """bf16 weights are peft's, or neighbours of them where sums round differently; their logits in fp32 are close."""
    torch.manual_seed(0)
    adapted = peft.get_peft_model(_load(donor), peft.LoraConfig(**entries))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    adapted.save_pretrained(tmp_path / "lora")
    merged = peft.PeftModel.from_pretrained(_load(donor), tmp_path / "lora").merge_and_unload()
    spec = {"stacker": 1, "donors": {"a": {"source": str(donor), "adapters": ["./lora"]}}, "stack": ["a"]}
    (tmp_path / "s.yml").write_text(json.dumps(spec))
    stacker.load(tmp_path / "s.yml").build(tmp_path / "out")
    made, wanted = load_file(tmp_path / "out" / "model.safetensors"), merged.state_dict()
    assert made.keys() == wanted.keys() - {"lm_head.weight"}
    differing = 0
    for name, tensor in made.items():
        differing += int((tensor != wanted[name]).sum())
        torch.testing.assert_close(tensor.float(), wanted[name].float(), rtol=2**-7, atol=1e-6)
    assert differing < 1e-3 * sum(tensor.numel() for tensor in made.values())
    checkpoint, tokenizer = smollm2.load(tmp_path / "out")
    found, expected, plain = (
        smollm2.logits_of(each.float(), tokenizer, smollm2.english()[:600])[0]
        for each in (checkpoint, merged, _load(donor))
    )
    assert (found - expected).norm() < 0.02 * (found - plain).norm()


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
