"""Stacks of wrapped language models: the nested config changes with the layers, the rest stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stacker.arch.wrapping import find_wrapped_architecture
from stacker.core.config.agreement import compare_donors
from stacker.core.config.compiling import compile_config
from stacker.core.values.donor import Donor
from stacker.errors import Severity, select_errors
from tests.core.stacks import CONFIG, make_donor

TOWER = {"model_type": "clip_vision_model", "num_hidden_layers": 2}


def make_wrapper(name: str = "a", **around: Any) -> Donor:
    """A llama in a wrapper, its tensors all under a module."""
    donor = make_donor(name)
    config = {"model_type": "llava", "text_config": dict(CONFIG), "vision_config": TOWER} | around
    tensors = {
        f"language_model.{key}": replace(tensor, spec=replace(tensor.spec, name=f"language_model.{key}"))
        for key, tensor in donor.tensors.items()
    }
    family = find_wrapped_architecture(config, {key: tensor.spec for key, tensor in tensors.items()})
    assert family is not None
    return replace(donor, config=config, architecture=family, tensors=tensors)


def compiled(donor: Donor, layers: list[int], **more: Any) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Config and problems of a stack of one donor's layers."""
    feeds = [[(donor, layer)] for layer in layers]
    return compile_config(donor, feeds, **({"embed": donor, "head": donor} | more))


def test_the_nested_config_follows_the_layers() -> None:
    """The depth is set in the nested config; the entries of towers stay."""
    config, problems = compiled(make_wrapper(), [0, 1, 2, 2])
    assert (config["text_config"]["num_hidden_layers"], config["vision_config"]) == (4, TOWER)
    assert "num_hidden_layers" not in config
    assert problems == ()


def test_repeated_entries_are_updated() -> None:
    """Entries that a wrapper repeats beside the nested config change with it; others stay."""
    config, _ = compiled(make_wrapper(num_hidden_layers=6, hidden_size=99), [0, 1])
    assert (config["num_hidden_layers"], config["text_config"]["num_hidden_layers"]) == (2, 2)
    assert config["hidden_size"] == 99


def test_ties_are_set_on_both_levels() -> None:
    """Programs read the tie from either config, so a change is written to both."""
    config, _ = compiled(make_wrapper(tie_word_embeddings=False), [0, 1], tied=True)
    assert (config["tie_word_embeddings"], config["text_config"]["tie_word_embeddings"]) == (True, True)


def test_towers_of_another_donor() -> None:
    """The template's towers must be those of the embedding's donor, which the stack gets."""
    other = make_wrapper("b", vision_config=TOWER | {"num_hidden_layers": 3})
    _, problems = compiled(make_wrapper(), [0, 1], embed=other)
    assert [problem.message for problem in select_errors(problems)] == [
        "'vision_config' of 'a' differs from that of 'b', whose towers the stack gets"
    ]


def test_towers_are_not_compared_for_layers() -> None:
    """Layers may come from a wrapper with other towers."""
    other = make_wrapper("b", vision_config=TOWER | {"num_hidden_layers": 3})
    assert [*compare_donors(make_wrapper(), other)] == []


def test_pictures_that_come_in_by_layer() -> None:
    """Features that the config adds after given layers cause a warning where other layers follow there."""
    donor = make_wrapper(vision_config=TOWER | {"deepstack_visual_indexes": [1, 3]})
    assert compiled(donor, [0, 1, 2, 3])[1] == ()
    (problem,) = compiled(donor, [0, 3, 4])[1]
    assert problem.severity is Severity.WARNING
    assert "features of pictures are added after the first layers" in problem.message
