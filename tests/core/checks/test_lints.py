"""Lints: each finds the fragile stacks it is for, and none warns of sound ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stacker.core.checks.lints import LINTS, lint
from stacker.core.stack.graph import build_graph
from stacker.core.values.donor import Donor
from stacker.errors import Problem, Severity
from tests.core.stacks import make_donor, spec_of

ALTERNATING = {"model_type": "gemma2", "head_dim": 8, "sliding_window": 4}
NORMED = {"model_type": "qwen3", "head_dim": 8}


def lints_of(stack: str, donors: dict[str, Donor] | None = None, **keys: str) -> tuple[Problem, ...]:
    """All lints of a stack; by default its donors have 30 layers."""
    known = donors or {name: make_donor(name, num_hidden_layers=30) for name in "ab"}
    spec = spec_of(stack, "".join(known), **keys)
    graph = build_graph(spec, known)
    assert graph.problems == ()
    return lint(graph, known, spec)


def warnings_of(stack: str, donors: dict[str, Donor] | None = None, **keys: str) -> list[str]:
    """The messages of the warnings."""
    return [found.message for found in lints_of(stack, donors, **keys) if found.severity is Severity.WARNING]


def one(name: str, **config: Any) -> dict[str, Donor]:
    """A single donor of this config."""
    return {name: make_donor(name, **config)}


SOUND = {
    "whole": "- a[0:30]",
    "overlap": "- a[0:20]\n- a[10:30]",
    "two donors": "- a[0:16]\n- b[12:24]\n- a[20:30]",
    "middle twice": "- a[0:20]\n- a[12:30]",
    "copies that add nothing": "- repeat: ['a[0:1]']\n  times: 2\n  scale: {attn.o: 0, mlp.down: 0}\n- a[1:30]",
    "idle copies far back": "- a[0:24]\n- slice: a[8:24]\n  scale: {attn.o: 0, mlp.down: 0}\n- a[24:30]",
    "blended with itself": '- blend: ["a[0:30]", {slice: "a[0:30]", weight: 0.3}]\n  op: linear',
    "one layer left out": "- a[0:14]\n- a[15:30]",
}


@pytest.mark.parametrize("stack", SOUND.values(), ids=SOUND)
def test_sound_stacks_raise_no_warning(stack: str) -> None:
    """Patterns that work in published stacks cause no warning."""
    assert warnings_of(stack, one("a", num_hidden_layers=30) if "b[" not in stack else None) == []


DOUBTFUL = {
    "first layers twice": ("- a[0:3]\n- a[0:30]", "the stack repeats layers 0–2, at the beginning of 'a'"),
    "last layers twice": ("- a[0:30]\n- a[27:30]", "the stack repeats layer 29, at the end of 'a'"),
    "begins late": ("- a[2:30]", "the stack begins with layer 2 of 'a', not with its first, 0"),
    "ends early": ("- a[0:28]", "the stack ends with layer 27 of 'a', not with its last, 29"),
    "far back": ("- a[0:24]\n- b[8:30]", "before layer 24 (a[23] to b[8]) the stack jumps back 16 layers"),
    "skips": ("- a[0:20]\n- a[24:30]", "before layer 20 (a[19] to a[24]) the stack skips 4 layers"),
}


@pytest.mark.parametrize(("stack", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_fragile_orders_are_found(stack: str, message: str) -> None:
    """Patterns that were measured to hurt cause a warning."""
    assert message in warnings_of(stack)


@pytest.mark.parametrize("stack", [stack for stack, _ in DOUBTFUL.values()], ids=DOUBTFUL)
def test_lints_say_where_and_what_to_do(stack: str) -> None:
    """Every warning about the order of layers has a place in the spec, a reason, and a hint."""
    for found in lints_of(stack):
        if found.severity is Severity.WARNING:
            assert found.mark
            assert found.mark.line
            assert found.hint


def test_unused_layers_are_noted() -> None:
    """Notes name unused layers by donor, and unused donors."""
    found = {each.message: each.severity for each in lints_of("- a[0:10]\n- a[12:30]")}
    assert found["layers in no slice: a 10–11"] is Severity.NOTE
    assert found["no layer of 'b' is used"] is Severity.NOTE


def test_a_base_is_used() -> None:
    """A donor that is only the base of a blend is not called unused, nor are its other layers."""
    donors = {name: make_donor(name, num_hidden_layers=30) for name in "abc"}
    whole = '- blend: ["a[0:30]", "b[0:30]"]\n  op: ties\n  density: 0.5'
    assert lints_of(whole, donors, base="c") == ()
    part = '- a[0:20]\n- blend: ["a[20:30]", "b[20:30]"]\n  op: ties\n  density: 0.5\n  base: c[10:20]'
    assert [each.message for each in lints_of(part, donors)] == ["layers in no slice: b 0–19"]


def test_a_blend_ends_where_one_of_its_donors_ends() -> None:
    """A last blend with one donor's last layer among its sources causes no warning."""
    stack = '- a[0:29]\n- blend: ["a[29:30]", "b[20:21]"]\n  op: slerp\n  t: 0.5'
    assert not [message for message in warnings_of(stack) if "ends with" in message]


CANCELLED = {
    "queries": ("attn.q: 0.8", NORMED, "scaling attn.q has no effect in layers 1–2: attn.q_norm follows it"),
    "what attention writes": (
        "attn.o: 0.5",
        ALTERNATING,
        "scaling attn.o has no effect in layers 1–2: norm.post_attn follows it",
    ),
    "what the mlp writes": (
        "mlp.down: 0.5",
        ALTERNATING,
        "scaling mlp.down has no effect in layers 1–2: norm.post_mlp follows it",
    ),
}


@pytest.mark.parametrize(("scale", "config", "message"), CANCELLED.values(), ids=CANCELLED)
def test_factors_that_a_norm_cancels(scale: str, config: dict[str, Any], message: str) -> None:
    """Where a norm follows the scaled projection, the hint is to scale that norm."""
    stack = f"- a[0:1]\n- slice: a[1:3]\n  scale: {{{scale}}}\n- a[3:6]"
    found = [each for each in lints_of(stack, one("a", **config)) if each.severity is Severity.WARNING]
    assert [each.message for each in found] == [message]
    assert found[0].hint == f"scale {message.split(': ')[1].removesuffix(' follows it')} instead"


HELD = {
    "zero works": ("attn.o: 0", ALTERNATING),
    "one is none": ("attn.o: 1", ALTERNATING),
    "no norm": ("attn.o: 0.5", {}),
    "the norm itself": ("norm.post_attn: 0.5", ALTERNATING),
}


@pytest.mark.parametrize(("scale", "config"), HELD.values(), ids=HELD)
def test_effective_factors_cause_no_warning(scale: str, config: dict[str, Any]) -> None:
    """A factor of 0 has an effect despite the norm, and any factor without one."""
    stack = f"- a[0:1]\n- slice: a[1:3]\n  scale: {{{scale}}}\n- a[3:6]"
    assert warnings_of(stack, one("a", **config)) == []


def test_broken_patterns_are_found() -> None:
    """In a family of which no file says what programs derive from the index, a broken pattern causes a warning."""
    donors = one("a", **ALTERNATING, num_hidden_layers=30)
    donor = donors["a"]
    donors = {"a": replace(donor, architecture=replace(donor.architecture, clients=()))}
    broken = warnings_of("- a[0:20]\n- a[11:30]", donors)
    assert broken == ["attention does not follow the pattern of gemma2 from layer 20"]
    assert warnings_of("- a[0:20]\n- a[10:30]", donors) == []


def donors_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Donor]:
    """Two donors that differ in these entries."""
    return {"a": make_donor("a", **one), "b": make_donor("b", **other)}


BOTH = "- a[0:3]\n- b[3:6]"


def test_unrelated_donors() -> None:
    """A difference in vocabulary and rotary base is one warning."""
    other = donors_of({"rope_theta": 1e4}, {"rope_theta": 5e5, "vocab_size": 240})
    found = warnings_of(BOTH, other)
    assert found == ["'a' and 'b' seem unrelated: they differ in vocabulary and rotary base"]


def test_another_vocabulary_alone() -> None:
    """Another tokenizer is a warning, a few added tokens are a note."""
    assert warnings_of(BOTH, donors_of({}, {"vocab_size": 240})) == ["vocabularies differ: 'a' has 24 tokens, 'b' 240"]
    close = lints_of(BOTH, donors_of({"vocab_size": 3200}, {"vocab_size": 3202}))
    assert ("vocabularies differ: 'a' has 3200 tokens, 'b' 3202", Severity.NOTE) in [
        (each.message, each.severity) for each in close
    ]


def test_other_special_tokens() -> None:
    """Another end-of-text token is a note."""
    found = lints_of(BOTH, donors_of({"eos_token_id": 2}, {"eos_token_id": 7}))
    assert ("eos_token_id differs: 2 in 'a', 7 in 'b'", Severity.NOTE) in [
        (each.message, each.severity) for each in found
    ]


def test_mixed_element_types() -> None:
    """Two element types are a warning, unless the output has one."""
    mixed = donors_of({"dtype": "bfloat16"}, {"dtype": "float16"})
    assert warnings_of(BOTH, mixed) == ["element types differ: 'a' is BF16, 'b' is F16"]
    assert warnings_of(BOTH, mixed, output="{dtype: bfloat16}") == []


def test_rotary_differences_are_left_to_the_checks() -> None:
    """A lint does not repeat what `check` reports."""
    assert warnings_of(BOTH, donors_of({"rope_theta": 1e4}, {"rope_theta": 5e5})) == []


def test_warnings_come_before_notes() -> None:
    """Problems are sorted by severity."""
    severities = [each.severity for each in lints_of("- a[0:3]\n- a[0:20]\n- a[24:30]")]
    assert severities == sorted(severities, key=lambda severity: severity is Severity.NOTE)
    assert len(set(severities)) == 2


def test_the_table_names_each_lint_once() -> None:
    """No lint is in the table twice."""
    assert len({each.__name__ for each in LINTS}) == len(LINTS)


def test_guessed_roles_are_named() -> None:
    """A scale by role names the tensors that no architecture file lists, with the role that was guessed."""
    donor = make_donor("a", num_hidden_layers=30)
    family = replace(donor.architecture, tensors=(), inferred=True)
    guessed = {"a": replace(donor, architecture=family)}
    scaled = "- a[0:29]\n- slice: a[29:30]\n  scale: {mlp.down: 0.5}"
    (message,) = (each for each in warnings_of(scaled, guessed) if "guessed" in each)
    assert message == (
        "'mlp.down' selects tensors whose roles are guessed from their names: "
        "model.layers.29.mlp.down_proj.weight as mlp.down"
    )
    assert not any("guessed" in each for each in warnings_of(scaled, {"a": donor}))
    by_name = scaled.replace("mlp.down:", "'*down_proj*':")
    assert not any("guessed" in each for each in warnings_of(by_name, guessed))
