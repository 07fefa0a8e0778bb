"""Families at 12 layers and more, where layer numbers have two digits and transformers pads them with zeros."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma4ForCausalLM, Gemma4TextConfig

from stacker.compose import load
from tests.families.cases import FURTHER, KNOWN, Case
from tests.families.deep import DEPTH, deepen
from tests.families.older import OLDER
from tests.families.tiny import tiny_case
from tests.families.trial import DEEP_TRIALS, RIGHT, try_family
from tests.families.wrappers import wrapper_case

NOT_DEEP = "kimi_linear, as published"
"""A case whose first layer alone is dense, which its config says by a number that cannot describe the 12 layers."""
CASES = {name: case for name, case in (KNOWN | FURTHER | OLDER).items() if name != NOT_DEEP}
SHARING = ("gemma3n_text", "gemma4_text, shared cache")
"""Cases whose last layers share keys and values, and must stay the last."""
TRIALS = {name: DEEP_TRIALS[name] for name in ("cross", "order")}
PREDICTING = ("deepseek_v3", "exaone_moe", "glm4_moe", "glm4_moe_lite", "mimo_v2_flash", "qwen3_5_text")

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 12, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "global_head_dim": 16, "sliding_window": 4, "vocab_size": 64, "intermediate_size": 48,
    "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 0,
}  # fmt: skip
PICKS = [*(("a", layer) for layer in range(8)), *(("b", layer) for layer in range(2, 12))]
"""The donor and layer of each output layer of `a[0:8], b[2:12]`."""


def rearrange(donors: dict[str, Gemma4ForCausalLM]) -> Gemma4ForCausalLM:
    """The same stack made by transformers alone: a config written by hand, and the donors' tensors renamed.

    Embedding, final norm and head are those of donor `a`.
    """
    kinds = [donors["a"].config.layer_types[layer] for _, layer in PICKS]
    wide = {index: {"head_dim": 16} for index, kind in enumerate(kinds) if kind == "full_attention"}
    config = Gemma4TextConfig(
        **SIZES | {"num_hidden_layers": len(PICKS), "layer_types": kinds, "per_layer_config": wide}
    )
    model = Gemma4ForCausalLM(config)
    states = {name: donor.state_dict() for name, donor in donors.items()}
    tensors = {name: tensor for name, tensor in states["a"].items() if ".layers." not in name}
    for index, (donor, layer) in enumerate(PICKS):
        prefix = f"model.layers.{layer}."
        own = {name: tensor for name, tensor in states[donor].items() if name.startswith(prefix)}
        tensors |= {f"model.layers.{index}.{name.removeprefix(prefix)}": tensor for name, tensor in own.items()}
    del tensors["lm_head.weight"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return model.eval()


@pytest.mark.slow
def test_keys_padded_with_zeros(tmp_path: Path) -> None:
    """A config whose layer keys transformers padded is read, and written as transformers writes it."""
    donors = {}
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        donors[name] = Gemma4ForCausalLM(Gemma4TextConfig(**SIZES)).eval()
        donors[name].save_pretrained(tmp_path / name)
    assert set(json.loads((tmp_path / "a/config.json").read_text())["per_layer_config"]) == {"05", "11"}
    (tmp_path / "s.yml").write_text('stacker: 1\ndonors: {a: ./a, b: ./b}\nstack: ["a[0:8]", "b[2:12]"]\nhead: a\n')
    load(tmp_path / "s.yml").build(tmp_path / "out")
    found, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values())
    written = json.loads((tmp_path / "out/config.json").read_text())["per_layer_config"]
    assert written == AutoConfig.from_pretrained(tmp_path / "out").to_dict()["per_layer_config"]
    tokens = torch.arange(20).reshape(1, 20)
    expected = rearrange(donors)
    with torch.no_grad():
        assert torch.equal(found.eval()(tokens).logits, expected(tokens).logits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_stacks_of_deep_donors_are_right(name: str, tmp_path: Path) -> None:
    """Stacks of each case with 12 layers compute the same as their layers in memory."""
    words = try_family(deepen(CASES[name]), tmp_path, TRIALS)
    kinds = {key: word.partition(":")[0] for key, word in words.items()}
    assert kinds == {"cross": RIGHT, "order": "refused" if name in SHARING else RIGHT}, words


def add_prediction_layer(folder: Path) -> None:
    """Give a donor a layer for multi-token prediction, as published: one entry more in each list, and more tensors."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for entries in (config, config.get("text_config", {})):
        for key, value in entries.items():
            if isinstance(value, list) and len(value) == DEPTH:
                entries[key] = [*value, value[-1]]
        if "num_hidden_layers" in entries:
            entries["num_nextn_predict_layers"] = 1
    path.write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    last, extra = f"layers.{DEPTH - 1}.", f"layers.{DEPTH}."
    tensors |= {name.replace(last, extra): tensor.clone() for name, tensor in tensors.items() if last in name}
    prefix = next(name[: name.index(extra)] for name in tensors if extra in name) + extra
    tensors |= {f"{prefix}{name}.weight": torch.zeros(4) for name in ("eh_proj", "enorm", "hnorm", "shared_head.norm")}
    save_file(tensors, weights, metadata={"format": "pt"})


def predicting_case(name: str) -> Case:
    return deepen(wrapper_case(name) if name == "step3p7" else tiny_case(name))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*PREDICTING, "step3p7"])
def test_layers_of_token_prediction_are_left_out(name: str, tmp_path: Path) -> None:
    """Donors whose lists also count a layer for multi-token prediction make the same stacks as donors without it."""
    words = try_family(predicting_case(name), tmp_path, TRIALS, add_prediction_layer)
    assert set(words.values()) == {RIGHT}
