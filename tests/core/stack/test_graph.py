"""Specs expanded into the layers of a graph."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.stack.graph import count_uses, find_junctions, find_segments
from stacker.core.values.parameters import find_factor, find_values
from tests.core.stacks import graph_of, make_donor, origins

ITEMS = {
    "slice": (" - a[0:3]", ["a0", "a1", "a2"]),
    "one layer": (" - a[4]", ["a4"]),
    "to the end": (" - a[4:]", ["a4", "a5"]),
    "from the start": (" - a[:2]", ["a0", "a1"]),
    "bare name": (" - b", ["b0", "b1", "b2", "b3", "b4", "b5"]),
    "blend": (" - blend:\n    - a[0:2]\n    - b[3:5]\n   op: linear", ["a0+b3", "a1+b4"]),
    "crossfade": (
        " - crossfade:\n    - a[0:4]\n    - b[1:5]\n   over: 2\n   op: slerp",
        ["a0", "a1", "a2+b1", "a3+b2", "b3", "b4"],
    ),
    "crossfade of three": (
        " - crossfade:\n    - a[0:3]\n    - b[0:3]\n    - a[3:6]\n   over: 1\n   op: linear",
        ["a0", "a1", "a2+b0", "b1", "b2+a3", "a4", "a5"],
    ),
    "repeat": (" - repeat:\n    - a[1:3]\n   times: 3", ["a1", "a2", "a1", "a2", "a1", "a2"]),
}


@pytest.mark.parametrize(("stack", "expected"), ITEMS.values(), ids=ITEMS.keys())
def test_each_item_spreads_into_its_layers(stack: str, expected: list[str]) -> None:
    """Every kind of item becomes the layers that the language defines, numbered from 0."""
    graph = graph_of(stack)
    assert origins(graph) == expected
    assert [node.index for node in graph.layers] == list(range(len(expected)))
    assert graph.problems == ()


def test_a_named_stack_stands_for_its_items() -> None:
    """`use` is replaced by the items of the named stack."""
    graph = graph_of(" - a[0:1]\n - use: tail", stacks="{tail: ['b[2:4]']}")
    assert origins(graph) == ["a0", "b2", "b3"]


def test_crossfade_ramps_slerp_from_the_first_to_the_second() -> None:
    """Without a `t`, the overlapping layers move from the first source to the second in equal steps, ends excluded."""
    graph = graph_of(" - crossfade:\n    - a[0:3]\n    - b[0:3]\n   over: 3\n   op: slerp")
    assert [find_values(node.settings, "attn.q", "x")["t"] for node in graph.layers] == [0.25, 0.5, 0.75]


def test_crossfade_ramps_the_weights_of_linear() -> None:
    """Ops without a `t` get weights of the sources that add up to 1."""
    graph = graph_of(" - crossfade:\n    - a[0:1]\n    - b[0:1]\n   over: 1\n   op: linear")
    (node,) = graph.layers
    assert [find_values(feed.settings, "attn.q", "x")["weight"] for feed in node.feeds] == [0.5, 0.5]


@pytest.mark.parametrize("op", ["linear", "karcher"])
def test_an_op_without_a_base_has_none(op: str) -> None:
    """The spec's base is used only by ops with a base; a base written for another op is an error."""
    blend = f" - blend: ['a[0:1]', 'b[0:1]']\n   op: {op}"
    assert all(node.base is None for node in graph_of(blend, base="a").nodes)
    (problem,) = graph_of(f"{blend}\n   base: a[0:1]").problems
    assert problem.message == f"op '{op}' takes no base"


def test_a_base_of_another_length_is_still_a_base() -> None:
    """A base of the wrong length is one problem; no layer of the blend is also reported to lack a base."""
    graph = graph_of(" - blend: ['a[0:4]', 'b[0:4]']\n   op: ties\n   base: a[3:]")
    assert [problem.message for problem in graph.problems] == ["the base has 3 layers, the blend 4"]
    assert [node.base.layer for node in graph.layers if node.base] == [3, 4, 5, 3]


BASES = {
    "as the blend": ("a[0:4]", "a[1:]", {}, "a[0:4] as the base"),
    "as the blend, further on": ("a[2:6]", "a[1:]", {}, "a[2:6] as the base"),
    "where the donor ends earlier": ("a[2:6]", "c[3:]", {"num_hidden_layers": 5}, "c[0:4] as the base"),
    "too few layers": ("a[0:4]", "c[1:]", {"num_hidden_layers": 3}, "layers as the blend, 4: 'c' has only 3"),
}


@pytest.mark.parametrize(("slice_", "base", "config", "hint"), BASES.values(), ids=BASES)
def test_a_base_of_another_length_gets_a_slice_that_fits(
    slice_: str, base: str, config: dict[str, Any], hint: str
) -> None:
    """The hint names the slice of the base with as many layers as the blend, at the same place if it can be."""
    donors = {name: make_donor(name, **(config if name == "c" else {})) for name in "abc"}
    graph = graph_of(f" - blend: ['{slice_}', 'b{slice_[1:]}']\n   op: ties\n   base: {base}", donors)
    (problem,) = graph.problems
    assert hint in problem.hint


def test_a_shallow_base_of_the_spec_is_no_missing_base() -> None:
    """A base with fewer layers than the blend needs is named as such, once, with a slice that would do."""
    donors = {"a": make_donor("a"), "b": make_donor("b"), "c": make_donor("c", num_hidden_layers=5)}
    graph = graph_of(" - a[0:2]\n - blend: ['a[2:6]', 'b[2:6]']\n   op: ties", donors, base="c")
    (problem,) = graph.problems
    assert problem.message == "the base 'c' has 5 layers, and the blend needs its layer 5"
    assert "c[1:5] as the base" in problem.hint


def test_repeat_scales_only_the_copies() -> None:
    """A repeat's factors do not apply to the first round."""
    graph = graph_of(" - repeat:\n    - a[1:3]\n   times: 2\n   scale: {attn.o: 0.5, mlp: 0}")
    factors = [(find_factor(n.scales, "attn.o", ""), find_factor(n.scales, "mlp.up", "")) for n in graph.layers]
    assert factors == [(1, 1), (1, 1), (0.5, 0), (0.5, 0)]


def test_gradients_run_over_their_slice() -> None:
    """The first layer has the value of the first knot, the last layer that of the last."""
    graph = graph_of(" - blend:\n    - a[0:5]\n    - b[0:5]\n   op: slerp\n   t: [0, 1, 0.5]")
    assert [find_values(node.settings, "", "")["t"] for node in graph.layers] == [0, 0.5, 1, 0.75, 0.5]


WRONG = {
    "past the end": (" - a[2:9]", "slice a[2:9] ends past donor 'a', which has 6 layers"),
    "starts past the end": (" - a[6:]", "ends past donor 'a'"),
    "fade too long": (" - crossfade:\n    - a[4:]\n    - b[0:5]\n   over: 3\n   op: linear", "fading over 3 takes 3"),
    "unequal blend": (" - blend:\n    - a[4:]\n    - b[0:5]\n   op: linear", "different lengths (a: 2, b: 5)"),
}


@pytest.mark.parametrize(("stack", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_the_donors_is_reported(stack: str, message: str) -> None:
    """Ranges and lengths that do not fit the donors' depths are reported with their place in the text."""
    (problem, *_) = graph_of(stack).problems
    assert message in problem.message
    assert problem.mark is not None
    assert problem.mark.line is not None


def test_goliath_is_a_sawtooth() -> None:
    """Goliath-120b has 137 layers and eight junctions, each jumping back by several layers (author's model card)."""
    x, e = "a", "b"
    runs = [(x, 0, 16), (e, 8, 24), (x, 17, 32), (e, 25, 40), (x, 33, 48), (e, 41, 56), (x, 49, 64), (e, 57, 72)]
    stack = "\n".join(f" - {donor}[{start}:{stop}]" for donor, start, stop in [*runs, (x, 65, 80)])
    donors = {name: make_donor(name, num_hidden_layers=80) for name in (x, e)}
    graph = graph_of(stack, donors)
    assert len(graph.layers) == 137
    assert [junction.jump for junction in find_junctions(graph)] == [-8, -7, -7, -7, -7, -7, -7, -7]
    assert [len(segment) for segment in find_segments(graph)] == [16, 16, 15, 15, 15, 15, 15, 15, 15]
    used = count_uses(graph, donors)
    assert [layer for layer, count in enumerate(used[x]) if not count] == [16, 32, 48, 64]
    assert [layer for layer, count in enumerate(used[e][8:72], start=8) if not count] == [24, 40, 56]


def test_donors_of_embed_and_head_follow_the_ends() -> None:
    """By default, the embedding is the first layer's donor's, and the head the last layer's donor's."""
    graph = graph_of(" - b[0:2]\n - a[2:6]")
    assert (graph.embed.feeds[0].donor, graph.head.feeds[0].donor) == ("b", "a")
    assert (graph.template, graph.tokenizer) == ("b", "b")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(1, 6)), min_size=1, max_size=8))
def test_coverage_counts_every_layer(pieces: list[tuple[str, int, int]]) -> None:
    """For any slices, the use counts add up to the depth of the stack, and so do the lengths of the segments."""
    slices = [(donor, start, min(6, start + length)) for donor, start, length in pieces]
    donors = {name: make_donor(name) for name in "ab"}
    graph = graph_of("\n".join(f" - {donor}[{start}:{stop}]" for donor, start, stop in slices), donors)
    assert sum(map(sum, count_uses(graph, donors).values())) == len(graph.layers)
    assert sum(map(len, find_segments(graph))) == len(graph.layers)
