"""Checks and lints of hops: families that cannot have them, and products that are too small or too large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stacker.core.checks.lints import lint
from stacker.core.checks.stack import check
from stacker.core.stack.graph import build_graph
from stacker.core.values.donor import Donor
from stacker.errors import Severity
from tests.core.stacks import make_donor, spec_of

HOP = " - {slice: 'a[0:2]'}\n - {slice: 'a[2:6]', hop: 0.5}"


def errors_of(donor: Donor, stack: str = HOP) -> list[str]:
    """The messages of all errors of a stack of donor `a`."""
    known = {"a": donor}
    return [problem.message for problem in check(build_graph(spec_of(stack, "a"), known), known)]


def warnings_of(hop: float, **config: Any) -> list[str]:
    """The hints of the warnings about the products of hops in a stack of all layers behind one hop."""
    known, spec = {"a": make_donor("a", **config)}, spec_of(f" - {{slice: a, hop: {hop}}}", "a")
    problems = lint(build_graph(spec, known), known, spec)
    return [each.hint for each in problems if each.severity is Severity.WARNING and "of all hops" in each.message]


def test_a_hop_is_right_where_norms_come_first() -> None:
    """A family with norms before its sublayers and its head has no error."""
    assert errors_of(make_donor("a")) == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "norm of the stream": (
        {"model_type": "opt", "do_layer_norm_before": False, "ffn_dim": 32},
        "a norm of the residual stream itself",
    ),
    "no final norm": ({"model_type": "opt", "_remove_final_layer_norm": True, "ffn_dim": 32}, "no norm follows"),
    "residual of the norm": (
        {"model_type": "bloom", "apply_residual_connection_post_layernorm": True, "n_layer": 6, "n_head": 2},
        "continues from the norms",
    ),
}


@pytest.mark.parametrize(("config", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_config_without_norms_where_they_must_be(config: dict[str, Any], reason: str) -> None:
    """The reason of the architecture file is the message."""
    assert any(reason in message for message in errors_of(make_donor("a", **config)))


def test_a_family_without_a_file() -> None:
    """Nothing is known of what its layers write."""
    donor = make_donor("a")
    inferred = replace(donor, architecture=replace(donor.architecture, inferred=True))
    assert any("no architecture file" in message for message in errors_of(inferred))


def test_a_tensor_that_the_file_does_not_describe() -> None:
    """A tensor of unknown purpose might write to the residual stream too."""
    donor = make_donor("a")
    spare = donor.tensors["model.layers.3.mlp.down_proj.weight"]
    name = "model.layers.3.adapter.weight"
    other = replace(spare, spec=replace(spare.spec, name=name), suffix="adapter.weight", role="other")
    (message,) = errors_of(replace(donor, tensors={**donor.tensors, name: other}))
    assert f"what {name} of donor 'a' does is not known" in message


def test_quantised_weights_are_refused() -> None:
    """As for any factor, the weights would have to be plain numbers."""
    (message,) = errors_of(replace(make_donor("a"), quantized="gptq"))
    assert "is quantised (gptq): its weights cannot be scaled" in message


@pytest.mark.parametrize(
    ("stack", "config", "wrong"),
    [
        pytest.param(" - {repeat: a, times: 12, hop: 0.1}", {}, "layer 66 is 1e-12", id="small"),
        pytest.param(" - {repeat: a, times: 13, hop: 0.1}", {}, "layer 72 is 1e-13", id="too small"),
        pytest.param(" - {slice: a, hop: 65}", {}, "layer 0 is 65", id="too large"),
        pytest.param(" - {slice: a, hop: 0.01}", {"dtype": "float16"}, "layer 0 is 0.01", id="too small for float16"),
    ],
)
def test_products_out_of_range(stack: str, config: dict[str, Any], wrong: str) -> None:
    """The product of all hops has bounds, which are narrower for float16."""
    messages = errors_of(make_donor("a", **config), stack)
    assert messages == ([] if "1e-12" in wrong else [f"the product of all hops up to {wrong}"])


def test_products_that_deserve_a_word() -> None:
    """Large products make epsilons matter, and small ones may overflow float16; usual ones are fine."""
    assert warnings_of(0.5) == warnings_of(2) == warnings_of(0.1) == []
    assert "epsilon of each norm acts as if it were 25 times as large" in warnings_of(5)[0]
    assert "5 times as large and may overflow" in warnings_of(0.2, dtype="float16")[0]
