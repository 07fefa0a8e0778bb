"""Stacks that a rule refuses: each refusal names the layer, the reason and what would work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stacker.arch.files.architecture import KEYLESS, LayerRule, WriteKind
from stacker.arch.files.formula import parse_formula
from stacker.core.config.layer_entries import apply_layer_rules
from stacker.core.config.refusals import OutputLayer, slices_text
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem
from tests.core.stacks import make_donor


def donor_with(kind: WriteKind, read: str, name: str = "a", key: str = "k", **config: object) -> Donor:
    """A llama of six layers with one rule."""
    over = (("period", parse_formula("range(depth + 2)")),) if kind is WriteKind.SOLVE else ()
    rule = LayerRule("r", "" if kind in KEYLESS else key, kind, (parse_formula(read),), over=over, reason="because")
    donor = make_donor(name, **config)
    return replace(donor, architecture=replace(donor.architecture, rules=(rule,)))


def refusal(donor: Donor, *layers: int) -> Problem | None:
    """The problem of a stack of one donor's layers; None without one."""
    outputs = [OutputLayer(index, ((donor, layer),), Mark("s.yml", index + 1)) for index, layer in enumerate(layers)]
    problems = apply_layer_rules(donor, outputs).problems
    assert len(problems) <= 1
    return problems[0] if problems else None


@pytest.mark.parametrize(
    ("kind", "read", "layers"),
    [
        (WriteKind.PREFIX, "i < 2", [0, 1, 2, 3, 3]),
        (WriteKind.PREFIX, "i < 2", [1, 0, 1, 5]),
        (WriteKind.PREFIX, "i < 2", [3, 4]),
        (WriteKind.PREFIX, "i < 2", [0, 1]),
        (WriteKind.SUFFIX, "i > 3", [3, 0, 4, 5, 4]),
        (WriteKind.SUFFIX, "i > 3", [4, 5]),
        (WriteKind.SUFFIX, "i > 3", [0, 1]),
        (WriteKind.SOLVE, "i % (period | 2) == 1", [0, 1, 2, 4, 3]),
        (WriteKind.SOLVE, "i % (period | 2) == 1", [0, 2, 4]),
        (WriteKind.CONSTANT, "i < 2", [0, 1, 1]),
        (WriteKind.CONSTANT, "i < 2", [5, 3]),
        (WriteKind.POSITION, "i % 2", [0, 1, 4, 5, 2, 3, 0]),
        (WriteKind.POSITION, "i == 0", [0, 3, 3, 5]),
        (WriteKind.POSITION, "i == depth - 1", [0, 2, 5]),
        (WriteKind.POSITION, "i", [0, 1, 2]),
        (WriteKind.POSITION, "[7, 8, 7, 9, 8, 8][i]", [2, 1, 0, 3]),
        (WriteKind.LAST, "i > 3", [5, 0, 4]),
        (WriteKind.SUPPLY, "[i, None] if i < 4 else [None, i - 4]", [0, 4, 1, 5, 4]),
        (WriteKind.SHARED, "i in [1, 4]", [0, 1, 5, 4, 4, 1]),
        (WriteKind.SHARED, "i in [1, 4]", [0, 5, 0]),
        (WriteKind.WHOLE, "i in [1, 4]", [5, 1, 0, 0, 4]),
        (WriteKind.WHOLE, "True", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_stacks_that_keep_the_rule(kind: WriteKind, read: str, layers: list[int]) -> None:
    """Layers at positions that the rule allows are not refused."""
    assert refusal(donor_with(kind, read), *layers) is None


@pytest.mark.parametrize(
    ("kind", "read", "layers", "line", "message", "hint"),
    [
        (
            WriteKind.PREFIX, "i < 2", [0, 3, 0, 1, 4, 1], 3,
            "because: layer 2 (a[0]) comes after layer 1 (a[3])", "drop a[0:2], a[1:2], or move it to the beginning",
        ),
        (
            WriteKind.SUFFIX, "i > 3", [4, 0, 5, 1, 5], 1,
            "because: layer 0 (a[4]) comes before layer 3 (a[1])",
            "drop a[4:6], or move it to the end of the stack; a stack that works: a[3:4], a[0:1], a[5:6], a[4:6]",
        ),
        (
            WriteKind.SOLVE, "i % (period | 2) == 1", [0, 1, 3, 4], 3,
            "because: a[3] cannot be layer 2", "layers that fit there: a[0], a[2], a[4]; a stack that works: ",
        ),
        (WriteKind.LAST, "i > 3", [4, 2], 2, "because: a[2] cannot be layer 1", "fit there: a[4], a[5]; a stack"),
        (
            WriteKind.SUPPLY, "[i, None] if i < 4 else [None, i - 4]", [0, 5, 1], 2,
            "because: no layer before layer 1 (a[5]) provides '1'", "put a layer that provides '1' before it",
        ),
        (
            WriteKind.CONSTANT, "i < 2", [4, 0, 5], 2,
            "because: it is False in a[4], True in a[0]", "use only layers with one value, such as a[4:6]",
        ),
        (
            WriteKind.POSITION, "i % 2", [0, 1, 3, 4], 3,
            "because: a[3] cannot be layer 2 (and 1 more layer)", "layers that fit there: a[0], a[2], a[4]",
        ),
        (WriteKind.POSITION, "i == 0", [1, 2], 1, "because: a[1] cannot be layer 0", "layers that fit there: a[0]"),
        (
            WriteKind.POSITION, "[1, 2, 2, 2, 2, 2][i]", [0, 1, 2, 3, 4, 5, 5], 7,
            "because: a[5] cannot be layer 6", "no layer of 'a' fits there",
        ),
        (
            WriteKind.SHARED, "i in [1, 4]", [0, 4, 1], 2,
            "because: a[4] cannot be layer 1", "take these layers from one donor, beginning with a[1:2]",
        ),
        (
            WriteKind.WHOLE, "i in [1, 4]", [0, 1, 4, 1], 4,
            "because: a[1] cannot be layer 3", "take exactly a[1:2], a[4:5] as these layers, in this order",
        ),
        (WriteKind.WHOLE, "True", [0, 2], 2, "because: a[2] cannot be layer 1", "take exactly a[0:6] as these layers"),
    ],
)  # fmt: skip
def test_refusals(kind: WriteKind, read: str, layers: list[int], line: int, message: str, hint: str) -> None:
    """The first misplaced layer is located, with the reason and the nearest stack that works."""
    problem = refusal(donor_with(kind, read), *layers)
    assert problem is not None
    assert problem.message == message
    assert hint in problem.hint
    assert problem.mark == Mark("s.yml", line)


@pytest.mark.parametrize("kind", [WriteKind.SHARED, WriteKind.WHOLE])
def test_layers_that_share_tensors_are_of_one_donor(kind: WriteKind) -> None:
    """A layer of another donor cannot use the tensors that the first one holds."""
    a, b = (donor_with(kind, "i in [1, 4]", name) for name in "ab")
    (problem,) = apply_layer_rules(a, [OutputLayer(0, ((a, 1),)), OutputLayer(1, ((b, 4),))]).problems
    assert problem.message == "because: b[4] cannot be layer 1"
    assert not apply_layer_rules(
        a, [OutputLayer(0, ((a, 1),)), OutputLayer(1, ((b, 3),)), OutputLayer(2, ((a, 4),))]
    ).problems


@pytest.mark.parametrize("kind", [WriteKind.SHARED, WriteKind.WHOLE])
def test_shared_tensors_need_embedding_and_head_of_one_donor(kind: WriteKind) -> None:
    """With two donors nothing is tied; a single layer shares nothing and is allowed."""
    a, b = (donor_with(kind, "i in [1, 4]", name, tie_word_embeddings=True) for name in "ab")
    outputs = [OutputLayer(layer, ((a, layer),)) for layer in range(6)]
    (problem,) = apply_layer_rules(a, outputs, (a, b)).problems
    assert "the embedding is of 'a', the head of 'b'" in problem.message
    assert "`head: a`" in problem.hint
    assert not apply_layer_rules(a, outputs, (a, a)).problems
    untied = donor_with(kind, "i in [1, 4]", "a", tie_word_embeddings=False)
    assert not apply_layer_rules(
        untied, [OutputLayer(layer, ((untied, layer),)) for layer in range(6)], (untied, b)
    ).problems
    alone = donor_with(WriteKind.SHARED, "i == 1")
    assert not apply_layer_rules(
        alone, [OutputLayer(layer, ((alone, layer),)) for layer in range(6)], (alone, b)
    ).problems


def test_values_come_from_the_layer_s_own_donor() -> None:
    """Each layer's value is read from the config of its own donor."""
    a = donor_with(WriteKind.LIST, "kinds[i]", "a", kinds=[1, 2, 3, 4, 5, 6])
    b = donor_with(WriteKind.LIST, "kinds[i]", "b", kinds=[7, 8, 9, 10, 11, 12])
    found = apply_layer_rules(a, [OutputLayer(0, ((a, 5),)), OutputLayer(1, ((b, 0),))])
    assert found.entries == {"k": [6, 7]}


def test_a_donor_without_the_entry() -> None:
    """A layer is refused when its donor's config lacks a per-layer entry of the template."""
    a = donor_with(WriteKind.LIST, "kinds[i]", "a", kinds=[1, 2, 3, 4, 5, 6])
    b = donor_with(WriteKind.LIST, "kinds[i]", "b")
    (problem,) = apply_layer_rules(a, [OutputLayer(0, ((a, 5),)), OutputLayer(1, ((b, 0),))]).problems
    assert "no config has 'k' for b[0]" in problem.message


def test_a_template_without_the_entry() -> None:
    """A per-layer entry that only another donor's config has is refused; the hint takes that config."""
    a, b = make_donor("a"), donor_with(WriteKind.LIST, "kinds[i]", "b", kinds=[1, 2, 3, 4, 5, 6])
    (problem,) = apply_layer_rules(a, [OutputLayer(0, ((a, 5),)), OutputLayer(1, ((b, 0),))]).problems
    assert "which the config of 'a' lacks" in problem.message
    assert "config: b" in problem.hint


def test_slices() -> None:
    """Donor layers are shown as slices of a spec."""
    a, b = make_donor("a"), make_donor("b")
    assert slices_text([(a, 0), (a, 1), (b, 2), (a, 2), (a, 2)]) == "a[0:2], b[2:3], a[2:3], a[2:3]"
