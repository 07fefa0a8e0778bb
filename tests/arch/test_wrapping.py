"""Language models inside wrappers: their family's file with names and config entries moved."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.arch.completeness import check_tensors
from stacker.arch.conventions import guess_outside_role
from stacker.arch.dimensions import count_layers
from stacker.arch.families import read_architecture
from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.placement import list_expected_tensors, place_tensors
from stacker.arch.wrapping import find_wrapped_architecture
from stacker.tensors import Dtype, TensorSpec

TEXT: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2,
    "intermediate_size": 32, "vocab_size": 24,
}  # fmt: skip
TOWER = "vision_tower.encoder.layers.{}.mlp.fc1.weight"
STYLES = {
    "all of it under a module": ("language_model.", "language_model.model."),
    "its body under a module of the body": ("", "model.language_model."),
    "its body in another's place": ("", "model.text_model."),
    "not moved": ("", "model."),
}


def tensors_of(outer: str, body: str, **config: Any) -> dict[str, TensorSpec]:
    """A llama's tensors with names as in a wrapper, and those of a tower."""
    text = list_expected_tensors(read_architecture("llama"), TEXT | config)
    names = [body + each.name.removeprefix("model.") if "model." in each.name else outer + each.name for each in text]
    own = {name: TensorSpec(name, each.dtype, each.shape) for name, each in zip(names, text, strict=True)}
    towers = (*(TOWER.format(layer) for layer in range(5)), "multi_modal_projector.linear.weight")
    return own | {name: TensorSpec(name, Dtype.BF16, (4, 4)) for name in towers}


def wrapped(tensors: dict[str, TensorSpec], text: dict[str, Any] = TEXT) -> Architecture:
    """The family of a wrapper's language model."""
    found = find_wrapped_architecture({"model_type": "seer", "text_config": text}, tensors)
    assert found is not None
    return found


@pytest.mark.parametrize(("outer", "body"), STYLES.values(), ids=STYLES)
def test_names_are_the_wrappers(outer: str, body: str) -> None:
    """Layers, embedding and head are found under all names that wrappers use, and none is missing."""
    tensors = tensors_of(outer, body)
    config: dict[str, Any] = {"model_type": "seer", "text_config": TEXT}
    family = wrapped(tensors)
    placed = place_tensors(family, config, tensors)
    assert (family.name, family.scope, family.prefix) == ("llama", "text_config", f"{body}layers.{{i}}.")
    assert placed[f"{body}layers.2.self_attn.q_proj.weight"].role == "attn.q"
    assert placed[f"{body}embed_tokens.weight"].role == "embed"
    assert placed[f"{outer}lm_head.weight"].role == "head"
    assert [*check_tensors(family, config, tensors, placed)] == []


@pytest.mark.parametrize(("outer", "body"), STYLES.values(), ids=STYLES)
def test_towers_go_with_the_embedding(outer: str, body: str) -> None:
    """A wrapper's other tensors act before the layers."""
    tensors = tensors_of(outer, body)
    placed = place_tensors(wrapped(tensors), {"text_config": TEXT}, tensors)
    for name in (TOWER.format(4), "multi_modal_projector.linear.weight"):
        assert (placed[name].part, placed[name].role) == (Part.EMBED, "embed.other")


def test_a_tied_head_is_named_as_it_would_be() -> None:
    """The name of a head that is not saved is known."""
    tensors = tensors_of("language_model.", "language_model.model.", tie_word_embeddings=True)
    assert wrapped(tensors).tied == (("language_model.lm_head.weight", "language_model.model.embed_tokens.weight"),)


def test_depth_that_the_config_leaves_to_its_program() -> None:
    """A nested config without a depth or sizes gets those of the existing layers."""
    tensors = tensors_of("language_model.", "language_model.model.")
    config: dict[str, Any] = {"model_type": "seer", "text_config": {"model_type": "llama", "vocab_size": 24}}
    family = wrapped(tensors, {"model_type": "llama", "vocab_size": 24})
    assert count_layers(family, config) == 3
    assert [*check_tensors(family, config, tensors, place_tensors(family, config, tensors))] == []


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "seer", "text_config": TEXT | {"model_type": "nobody_knows"}},
        {"model_type": "seer", "text_config": {"num_hidden_layers": 3}},
        {"model_type": "seer", "num_hidden_layers": 3},
    ],
    ids=["no file", "no family", "nothing nested"],
)
def test_what_no_file_describes_is_left_to_inference(config: dict[str, Any]) -> None:
    """Without a family file the result is None."""
    assert find_wrapped_architecture(config, tensors_of("", "model.language_model.")) is None


def test_layers_that_the_family_does_not_have() -> None:
    """Layers with tensors that the family lacks are not described by its file."""
    tensors = tensors_of("", "model.language_model.")
    own = [f"model.language_model.layers.{layer}.cross_attn.gate" for layer in range(3)]
    tensors |= {name: TensorSpec(name, Dtype.BF16, (1,)) for name in own}
    assert find_wrapped_architecture({"model_type": "seer", "text_config": TEXT}, tensors) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.language_model.norm.weight", "norm.final"),
        ("model.language_model.embed_tokens.weight", "embed"),
        ("lm_head.weight", "head"),
        ("model.connector.norm.weight", "embed.other"),
        ("model.image_newline", "embed.other"),
        ("audio_tower.ln_post.weight", "embed.other"),
        ("model.language_model.mixing.weight", "head.other"),
    ],
)
def test_roles_around_a_language_model(name: str, role: str) -> None:
    """Outside the language model, all tensors but a head act before the layers."""
    assert guess_outside_role(name, "model.language_model.") == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.embed_tokens.weight", "embed"),
        ("model.norm.weight", "norm.final"),
        ("model.visual.merger.norm.weight", "embed.other"),
        ("model.connector.modality_projection.proj.weight", "embed.other"),
        ("model.resampler.ln_q.weight", "embed.other"),
    ],
)
def test_roles_where_towers_are_beside_the_layers(name: str, role: str) -> None:
    """In a module that holds everything, unknown tensors are a tower's."""
    assert guess_outside_role(name, "model.") == role
