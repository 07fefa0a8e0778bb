"""Lints: each finds what it is for, says why, and is silent about stacks that are well made."""

from __future__ import annotations

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
    """What is doubtful about a stack; by default of donors of 30 layers."""
    known = donors or {name: make_donor(name, num_hidden_layers=30) for name in "ab"}
    spec = spec_of(stack, "".join(known), **keys)
    graph = build_graph(spec, known)
    assert graph.problems == ()
    return lint(graph, known, spec)


def warnings_of(stack: str, donors: dict[str, Donor] | None = None, **keys: str) -> list[str]:
    """The messages of those that are warnings."""
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
    "one layer left out": "- a[0:14]\n- a[15:30]",
}


@pytest.mark.parametrize("stack", SOUND.values(), ids=SOUND)
def test_sound_stacks_raise_no_warning(stack: str) -> None:
    """What published stacks do well is not warned of."""
    assert warnings_of(stack, one("a", num_hidden_layers=30) if "b[" not in stack else None) == []


DOUBTFUL = {
    "first layers twice": ("- a[0:3]\n- a[0:30]", "'a': layers 0–2, of the first of its 30, come more than once"),
    "last layers twice": ("- a[0:30]\n- a[27:30]", "'a': layer 29, of the last of its 30, come more than once"),
    "begins late": ("- a[2:30]", "the stack begins with layer 2 of 'a', which has never seen an embedding"),
    "ends early": ("- a[0:28]", "the stack ends with layer 27 of 'a', not with its last, 29"),
    "far back": ("- a[0:24]\n- b[8:30]", "before layer 24 (a[23] to b[8]) the stack jumps back 16 layers"),
    "skips": ("- a[0:20]\n- a[24:30]", "before layer 20 (a[19] to a[24]) the stack skips 4 layers"),
}


@pytest.mark.parametrize(("stack", "message"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_fragile_orders_are_found(stack: str, message: str) -> None:
    """What hurt when it was measured is warned of, in so many words."""
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
    """Layers that no slice has, donor by donor, and donors that give none."""
    found = {each.message: each.severity for each in lints_of("- a[0:10]\n- a[12:30]")}
    assert found["layers in no slice: a 10–11"] is Severity.NOTE
    assert found["'b' gives no layer to the stack"] is Severity.NOTE


def test_a_blend_ends_where_one_of_its_donors_ends() -> None:
    """The head follows a blend in which one donor's last layer takes part."""
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
def test_factors_that_a_norm_undoes(scale: str, config: dict[str, Any], message: str) -> None:
    """Families that norm what is scaled get the advice to scale that norm."""
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
def test_factors_that_work_are_left_alone(scale: str, config: dict[str, Any]) -> None:
    """Zeros pass a norm as zeros, and families without that norm take any factor."""
    stack = f"- a[0:1]\n- slice: a[1:3]\n  scale: {{{scale}}}\n- a[3:6]"
    assert warnings_of(stack, one("a", **config)) == []


def test_patterns_by_place_are_watched() -> None:
    """A family of two kinds in turn: a jump by an odd number breaks the turns, by an even one keeps them."""
    donors = one("a", **ALTERNATING, num_hidden_layers=30)
    broken = warnings_of("- a[0:20]\n- a[11:30]", donors)
    assert broken == ["attention does not follow the pattern of gemma2 from layer 20"]
    assert warnings_of("- a[0:20]\n- a[10:30]", donors) == []


def donors_of(here: dict[str, Any], there: dict[str, Any]) -> dict[str, Donor]:
    """Two donors that differ in these entries."""
    return {"a": make_donor("a", **here), "b": make_donor("b", **there)}


BOTH = "- a[0:3]\n- b[3:6]"


def test_donors_of_other_lineage() -> None:
    """Vocabulary and rotary base both differ: these were never one model. It is said once."""
    other = donors_of({"rope_theta": 1e4}, {"rope_theta": 5e5, "vocab_size": 240})
    found = warnings_of(BOTH, other)
    assert found == ["'a' and 'b' seem of different lineage: they differ in vocabulary and rotary base"]


def test_another_vocabulary_alone() -> None:
    """Another tokenizer is a warning, a few added tokens are a note."""
    assert warnings_of(BOTH, donors_of({}, {"vocab_size": 240})) == ["vocabularies differ: 'a' has 24 tokens, 'b' 240"]
    close = lints_of(BOTH, donors_of({"vocab_size": 3200}, {"vocab_size": 3202}))
    assert ("vocabularies differ: 'a' has 3200 tokens, 'b' 3202", Severity.NOTE) in [
        (each.message, each.severity) for each in close
    ]


def test_other_turns() -> None:
    """A fine-tune that ends its turns with another token is noted."""
    found = lints_of(BOTH, donors_of({"eos_token_id": 2}, {"eos_token_id": 7}))
    assert ("eos_token_id differs: 2 in 'a', 7 in 'b'", Severity.NOTE) in [
        (each.message, each.severity) for each in found
    ]


def test_mixed_element_types() -> None:
    """Two types are warned of, unless the output has one."""
    mixed = donors_of({"dtype": "bfloat16"}, {"dtype": "float16"})
    assert warnings_of(BOTH, mixed) == ["element types differ: 'a' is BF16, 'b' is F16"]
    assert warnings_of(BOTH, mixed, output="{dtype: bfloat16}") == []


def test_rotary_differences_are_said_by_the_checks_alone() -> None:
    """What the check of donors warns of is not repeated here."""
    assert warnings_of(BOTH, donors_of({"rope_theta": 1e4}, {"rope_theta": 5e5})) == []


def test_warnings_come_before_notes() -> None:
    """What matters more is read first."""
    severities = [each.severity for each in lints_of("- a[0:3]\n- a[0:20]\n- a[24:30]")]
    assert severities == sorted(severities, key=lambda severity: severity is Severity.NOTE)
    assert len(set(severities)) == 2


def test_the_table_names_each_lint_once() -> None:
    """A lint is one function and its row."""
    assert len({each.__name__ for each in LINTS}) == len(LINTS)
