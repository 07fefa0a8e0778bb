"""Stacks of wrapped language models: the nested config changes with the layers, the rest stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stacker.arch.conventions import WRAPPER_ROLE
from stacker.arch.files.architecture import Part
from stacker.arch.wrapping import find_wrapped_architecture
from stacker.core.config.agreement import compare_donors
from stacker.core.config.compiling import compile_config
from stacker.core.plan.tensors import plan_tensors
from stacker.core.stack.graph import build_graph
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression_parts import find_tensor_refs
from stacker.errors import Severity, select_errors
from stacker.tensors import Dtype, TensorSpec
from tests.core.stacks import CONFIG, make_donor, spec_of

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
    assert "image features are added after the first layers" in problem.message


def planned(stack: str, **keys: str) -> dict[str, set[str]]:
    """For each output tensor outside the layers, the donors that it is read from; `a` is a wrapper, `b` is none."""
    donors = {"a": with_tower(make_wrapper()), "b": make_donor("b")}
    spec = spec_of(stack, "ab", **keys)
    tensors = plan_tensors(build_graph(spec, donors), donors, None).tensors
    refs = {
        each.tensor.name: find_tensor_refs(each.expression) for each in tensors if ".layers." not in each.tensor.name
    }
    return {name: {ref.donor for ref in found} for name, found in refs.items()}


def with_tower(donor: Donor) -> Donor:
    """The wrapper with a tensor of a tower."""
    spec = TensorSpec("vision_tower.patch.weight", Dtype.BF16, (4, 4))
    return replace(donor, tensors={spec.name: DonorTensor(spec, Part.EMBED, WRAPPER_ROLE), **donor.tensors})


def test_ends_of_a_language_model_alone() -> None:
    """Embedding and head of a text-only donor get the wrapper's names; the towers stay those of the wrapper."""
    found = planned("- b[0:3]\n- a[3:6]", config="a", head="b")
    assert found == {
        "vision_tower.patch.weight": {"a"},
        "language_model.model.embed_tokens.weight": {"b"},
        "language_model.model.norm.weight": {"b"},
        "language_model.lm_head.weight": {"b"},
    }


def test_ends_of_a_wrapper_for_a_language_model_alone() -> None:
    """A text-only result gets a wrapper's embedding and head under its own names, and no towers."""
    found = planned("- a[0:3]\n- b[3:6]", config="b", head="a")
    assert found == {"model.embed_tokens.weight": {"a"}, "model.norm.weight": {"a"}, "lm_head.weight": {"a"}}


def test_towers_need_a_donor_that_has_them() -> None:
    """A text-only donor cannot provide the towers of a wrapper."""
    _, problems = compiled(make_wrapper(), [0, 1], towers=make_donor("b"))
    assert "has nothing beside its language model" in select_errors(problems)[0].message
