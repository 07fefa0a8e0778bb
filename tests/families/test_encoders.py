"""Stacks of encoders and of decoders with other heads compute what their layers rearranged in memory compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from stacker.compose import build
from stacker.compose import load as load_stack
from stacker.errors import DonorError
from tests.families.encoders import answer_of, rearrange, write_encoder
from tests.families.oracle import load
from tests.families.stacks import STACKS

USUAL = ["bert", "roberta", "distilbert", "modernbert"]
FURTHER = [
    "albert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "electra", "ernie", "esm",
    "eurobert", "fnet", "gte", "ibert", "layoutlm", "longformer", "megatron-bert", "mobilebert", "mpnet", "mra",
    "nomic_bert", "nystromformer", "rembert", "roc_bert", "roformer", "tapas", "xlm-roberta", "xlm-roberta-xl", "yoso",
]  # fmt: skip
BASE: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8, "num_labels": 3, "pad_token_id": 0}


def slow(name: str) -> Any:
    """A case that is left out of a quick run."""
    return pytest.param(name, marks=pytest.mark.slow)


def check_right(auto: Any, home: Path, names: tuple[str, ...] = tuple(STACKS)) -> None:
    """Build the stacks of the donors in `home`; each loads whole and computes the same as the rearranged layers."""
    models = {name: load(home / name, auto) for name in "ab"}
    for name in names:
        items, picks = STACKS[name]
        (home / "spec.yml").write_text(f"stacker: 1\nname: t\ndonors: {{a: ./a, b: ./b}}\nstack: {json.dumps(items)}\n")
        build(load_stack(home / "spec.yml"), home / name)
        found = answer_of(load(home / name, auto))
        assert torch.equal(found, answer_of(rearrange(models, picks))), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", [*USUAL, *map(slow, FURTHER)])
def test_masked_language_models(model_type: str, tmp_path: Path) -> None:
    """What was tied and is not written stays tied; a head of another donor than the embedding's is written."""
    for seed, name in enumerate("ab"):
        write_encoder(model_type, AutoModelForMaskedLM, tmp_path / name, seed)
    check_right(AutoModelForMaskedLM, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForSequenceClassification], ids=["base", "classifier"])
@pytest.mark.parametrize(
    "model_type",
    ["bert", "modernbert", *(pytest.param(n, marks=pytest.mark.slow) for n in ("qwen3", "mistral", "gpt2"))],
)
def test_base_models_and_classifiers(model_type: str, auto: Any, tmp_path: Path) -> None:
    """No head of a language model is invented, and the names stay those of the donors."""
    for seed, name in enumerate("ab"):
        write_encoder(model_type, auto, tmp_path / name, seed, **BASE, tie_word_embeddings=True)
    check_right(auto, tmp_path, ("self", "ends"))


def cut(root: str) -> Callable[[str], str]:
    """Names without the module `root`."""
    return lambda name: name.removeprefix(root)


@pytest.mark.parametrize(("bare", "start"), [("ab", "h.0."), ("a", "h.0."), ("b", "transformer.h.0.")])
def test_names_without_the_model_around_them(bare: str, start: str, tmp_path: Path) -> None:
    """Of donors with and without `transformer.`, the result is named as the template, and its logits are right."""
    for seed, name in enumerate("ab"):
        path = write_encoder("gpt2", AutoModelForCausalLM, tmp_path / name, seed) / "model.safetensors"
        rename = cut("transformer." if name in bare else "")
        save_file({rename(key): tensor for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    check_right(AutoModelForCausalLM, tmp_path, ("ends",))
    assert any(key.startswith(start) for key in load_file(tmp_path / "ends" / "model.safetensors"))


@pytest.mark.parametrize(
    ("kinds", "auto"),
    [
        ((AutoModelForCausalLM, AutoModelForSequenceClassification), AutoModelForSequenceClassification),
        ((AutoModelForSequenceClassification, AutoModelForCausalLM), AutoModelForCausalLM),
        ((AutoModel, AutoModelForCausalLM), AutoModelForCausalLM),
        ((AutoModelForCausalLM, AutoModel), AutoModel),
    ],
    ids=["classifier last", "classifier first", "base first", "base last"],
)
@pytest.mark.parametrize("tied", [False, True])
def test_the_head_decides_the_class(kinds: tuple[Any, Any], auto: Any, tied: bool, tmp_path: Path) -> None:
    """A head of another kind than the template's brings its class and labels, and every tensor is there."""
    for seed, (name, kind) in enumerate(zip("ab", kinds, strict=True)):
        write_encoder("qwen3", kind, tmp_path / name, seed, **BASE, tie_word_embeddings=tied)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a, b: ./b}\nstack: ['a[0:3]', 'b[3:6]']\n")
    build(load_stack(tmp_path / "spec.yml"), tmp_path / "out")
    built, last = load(tmp_path / "out", auto), load(tmp_path / "b", auto)
    assert AutoConfig.from_pretrained(tmp_path / "out").architectures == last.config.architectures
    for name, tensor in last.state_dict().items():
        if (name.endswith("norm.weight") and "layers" not in name) or name.startswith(("lm_head", "score")):
            assert torch.equal(built.state_dict()[name], tensor), name


@pytest.mark.parametrize("model_type", ["t5", "whisper"])
def test_encoder_decoders_write_nothing(model_type: str, tmp_path: Path) -> None:
    """An encoder-decoder is refused while its donor is read."""
    config = AutoConfig.for_model(model_type).to_dict()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text(json.dumps(config, default=str))
    save_file({"decoder.block.0.layer.0.weight": torch.zeros(2, 2)}, tmp_path / "a" / "model.safetensors")
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:1]']\n")
    with pytest.raises(DonorError, match=f"'{model_type}' is an encoder-decoder"):
        load_stack(tmp_path / "spec.yml")
