"""Checkpoints saved as base models, and checkpoints without a head."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.completeness import check_tensors
from stacker.arch.families import read_architecture
from stacker.arch.files.architecture import Architecture
from stacker.arch.placement import list_expected_tensors, place_tensors
from stacker.arch.variants import adapt_architecture
from stacker.tensors import Dtype, TensorSpec

LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
    "vocab_size": 10,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 4, "vocab_size": 10
}  # fmt: skip


def base_of(config: dict[str, Any], root: str) -> dict[str, TensorSpec]:
    """The tensors of a family without the module `root` around them, and without a head."""
    found = list_expected_tensors(read_architecture(config["model_type"]), config)
    specs = {each.name.removeprefix(root): each for each in found if each.name != "lm_head.weight"}
    return {name: TensorSpec(name, each.dtype, each.shape) for name, each in specs.items()}


def adapted(config: dict[str, Any], tensors: dict[str, TensorSpec]) -> Architecture:
    """The family's architecture for a checkpoint, which must be complete."""
    found = adapt_architecture(read_architecture(config["model_type"]), config, tensors)
    assert [*check_tensors(found, config, tensors, place_tensors(found, config, tensors))] == []
    return found


@pytest.mark.parametrize(
    ("config", "root", "prefix", "tied"),
    [
        pytest.param(LLAMA, "model.", "layers.{i}.", (), id="llama"),
        pytest.param(
            LLAMA | {"tie_word_embeddings": True}, "model.", "layers.{i}.",
            (("lm_head.weight", "embed_tokens.weight"),), id="llama, tied",
        ),
        pytest.param(GPT2, "transformer.", "h.{i}.", (("lm_head.weight", "wte.weight"),), id="gpt2"),
    ],
)  # fmt: skip
def test_names_of_a_base_model(
    config: dict[str, Any], root: str, prefix: str, tied: tuple[tuple[str, str], ...]
) -> None:
    """Layers are found without the module around them, and only a tied head is expected."""
    found = adapted(config, base_of(config, root))
    assert (found.prefix, found.tied) == (prefix, tied)


def test_names_of_another_class() -> None:
    """Layers are found where a class calls the module around them differently, as LlamaForQuestionAnswering does."""
    names = [f"transformer.{name}" for name in base_of(LLAMA, "model.")]
    config = LLAMA | {"architectures": ["LlamaForQuestionAnswering"]}
    found = adapt_architecture(read_architecture("llama"), config, [*names, "qa_outputs.weight"])
    assert (found.prefix, found.tied) == ("transformer.layers.{i}.", ())
    assert {each.name for each in list_expected_tensors(found, config)} == set(names)


@pytest.mark.parametrize(
    ("config", "head"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "score.weight"),
        ({"architectures": ["LlamaForTokenClassification"]}, "classifier.weight"),
        ({"architectures": ["LlamaModel"]}, None),
        ({}, "v_head.summary.weight"),
    ],
    ids=["classifier", "of tokens", "base model", "no class"],
)
def test_other_heads_replace_that_of_the_vocabulary(config: dict[str, Any], head: str | None) -> None:
    """An untied donor with another head, or with none, is complete without `lm_head.weight`."""
    tensors = base_of(LLAMA, "") | ({head: TensorSpec(head, Dtype.F32, (2, 8))} if head else {})
    found = adapt_architecture(read_architecture("llama"), LLAMA | config, tensors)
    placed = place_tensors(found, LLAMA, tensors)
    problems = [each.message for each in check_tensors(found, LLAMA, tensors, placed)]
    assert problems == ([f"1 tensors are not those of a 'llama' with this config: {head}"] if head else [])


def test_a_language_model_still_needs_its_head() -> None:
    """A class with a head is incomplete without it."""
    config = LLAMA | {"architectures": ["LlamaForCausalLM"]}
    tensors = base_of(LLAMA, "")
    found = adapt_architecture(read_architecture("llama"), config, tensors)
    (problem,) = check_tensors(found, config, tensors, place_tensors(found, config, tensors))
    assert "missing: lm_head.weight" in problem.message
