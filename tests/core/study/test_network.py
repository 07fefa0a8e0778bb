"""The stack as a networkx graph."""

from __future__ import annotations

import networkx as nx

from stacker.core.study.network import build_network
from tests.core.stacks import graph_of, make_donor

DONORS = {name: make_donor(name) for name in "ab"}


def test_the_stream_is_a_path() -> None:
    """The only path from the embedding to the head runs through every layer."""
    graph = build_network(graph_of("- a[0:3]\n- b[1:4]", DONORS), DONORS)
    assert nx.is_directed_acyclic_graph(graph)
    path = nx.shortest_path(graph, "embed", "head")
    assert path == ["embed", *(f"layer {index}" for index in range(6)), "head"]
    assert graph.nodes["head"]["kind"] == "head"


def test_edges_are_typed() -> None:
    """Stream edges have hidden size and jump; feed edges have head geometry, or the vocabulary size."""
    graph = build_network(graph_of("- a[0:3]\n- b[1:4]", DONORS), DONORS)
    assert graph.edges["layer 2", "layer 3", 0] == {"kind": "stream", "hidden": 16, "jump": -2}
    assert graph.edges["layer 0", "layer 1", 0] == {"kind": "stream", "hidden": 16}
    feed = graph.edges["b[1]", "layer 3", 0]
    assert (feed["heads"], feed["kv_heads"], feed["head_dim"]) == (2, 2, 8)
    assert graph.edges["a[embed]", "embed", 0]["vocab"] == 24


def test_repeats_feed_twice_from_one_node() -> None:
    """A donor layer is one node however often it is used."""
    graph = build_network(graph_of("- a[0:6]\n- a[2:4]", DONORS), DONORS)
    assert sorted(graph.successors("a[2]")) == ["layer 2", "layer 6"]


def test_blends_have_all_their_sources() -> None:
    """Feed edges are numbered in the order of the sources."""
    stack = '- a[0:1]\n- blend: ["a[1]", "b[1]"]\n  op: linear\n  weight: 1\n- a[2:6]'
    graph = build_network(graph_of(stack, DONORS), DONORS)
    feeds = sorted((edge["order"], name) for name, _, edge in graph.in_edges("layer 1", data=True) if "order" in edge)
    assert feeds == [(0, "a[1]"), (1, "b[1]")]
    assert graph.nodes["layer 1"]["op"] == "linear"
