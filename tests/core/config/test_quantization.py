"""Quantization configs renumbered for the output layers, in the forms that quantisers write."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.core.config.quantization import check_quantization, renumber_quantization
from tests.core.stacks import make_donor

CONFIGS: dict[str, tuple[Any, Any]] = {
    "a list": (
        {"modules_to_not_convert": ["lm_head", "model.layers.1.mlp.gate", "model.layers.2.mlp.gate"]},
        {"modules_to_not_convert": ["lm_head", "model.layers.1.mlp.gate", "model.layers.3.mlp.gate"]},
    ),
    "a whole layer": ({"llm_int8_skip_modules": ["model.layers.2"]}, {"llm_int8_skip_modules": ["model.layers.3"]}),
    "several places": ({"ignored_layers": ["layers.4.x"]}, {"ignored_layers": ["layers.0.x", "layers.2.x"]}),
    "a layer that is left out": ({"ignore": ["model.layers.0.mlp"]}, {"ignore": []}),
    "expressions": (
        {"ignore": [r"re:.*layers\.1\..*", r"re:.*layers\.\d+\.mlp", "re:.*gate$", "model.layers.*.mlp"]},
        {"ignore": [r"re:.*layers\.1\..*", r"re:.*layers\.\d+\.mlp", "re:.*gate$", "model.layers.*.mlp"]},
    ),
    "keys that are expressions": (
        {"dynamic": {r"-:model\.layers\.2\.mlp\..*": {}, r"+:.*\.4\..*gate.*": {"bits": 8}, r"+:.*up.*": {"bits": 3}}},
        {
            "dynamic": {
                r"-:model\.layers\.3\.mlp\..*": {},
                r"+:.*\.0\..*gate.*": {"bits": 8},
                r"+:.*\.2\..*gate.*": {"bits": 8},
                r"+:.*up.*": {"bits": 3},
            }
        },
    ),
    "groups": (
        {"config_groups": {"group_0": {"targets": ["Linear", "model.layers.2.mlp.up_proj"], "weights": {"bits": 4}}}},
        {"config_groups": {"group_0": {"targets": ["Linear", "model.layers.3.mlp.up_proj"], "weights": {"bits": 4}}}},
    ),
    "another tower": (
        {"ignore": ["vision_tower.transformer.layers.2.attn", "model.visual.layers.2"]},
        {"ignore": ["vision_tower.transformer.layers.2.attn", "model.visual.layers.2"]},
    ),
    "short names": (
        {"modules_to_not_convert": ["4.mlp.gate", "2.norm", "0.weight"]},
        {"modules_to_not_convert": ["model.layers.0.mlp.gate", "model.layers.2.mlp.gate", "2.norm", "0.weight"]},
    ),
    "an expert": ({"ignore": ["model.layers.2.mlp.experts.4.w"]}, {"ignore": ["model.layers.3.mlp.experts.4.w"]}),
}


@pytest.mark.parametrize(("before", "after"), CONFIGS.values(), ids=CONFIGS)
def test_module_names_are_renumbered(before: Any, after: Any) -> None:
    """Layer 4 becomes 0 and 2, layer 1 stays, 2 becomes 3, and layer 0 is not used."""
    donor = make_donor(quantization_config=before)
    found = renumber_quantization(donor, [donor], {"a": {4: [0, 2], 1: [1], 2: [3]}})
    assert found == after
    assert not list(check_quantization(donor, [donor], None))


def test_each_donor_names_its_own_layers() -> None:
    """Donors whose lists differ only in layer numbers are quantised alike; common entries are kept once."""
    a, b = (
        make_donor(name, quantization_config={"ignore": ["lm_head", f"model.layers.{at}"]}) for name, at in ("a1", "b2")
    )
    assert not list(check_quantization(a, [a, b], None))
    found = renumber_quantization(a, [a, b], {"a": {1: [1]}, "b": {2: [5], 1: [6]}})
    assert found == {"ignore": ["lm_head", "model.layers.1", "model.layers.5"]}


@pytest.mark.parametrize("name", ["model.layers.[1-3].mlp", r"re:.*layers\.(1|2)\.mlp", "layers.1-4"])
def test_several_layers_in_one_name_are_refused(name: str) -> None:
    """The problem shows the name that cannot be renumbered."""
    donor = make_donor(quantization_config={"ignore": [name]})
    (problem,) = check_quantization(donor, [donor], None)
    assert name in problem.message
