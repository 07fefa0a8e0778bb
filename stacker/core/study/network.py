"""Turns a stack into a networkx graph, to traverse or draw with that library.

Some nodes are on the residual stream: `embed`, `layer 0` … and `head`. The other nodes are the donor layers from which
these are made, such as `xwin[3]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import networkx as nx

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Part
from stacker.core.config.rotary import read_rotary_parameters
from stacker.core.stack.graph import StackGraph, find_junctions
from stacker.core.stack.nodes import Feed, Node
from stacker.core.values.donor import Donor

_GEOMETRY = ("heads", "kv_heads", "head_dim")


def build_network(graph: StackGraph, donors: Mapping[str, Donor]) -> nx.MultiDiGraph[str]:
    """Turn a stack into a networkx graph: `stream` edges join output nodes, other edges come from donor layers.

    A `stream` edge has the hidden size and, at a junction, how many layer indices are skipped (`jump`). Edges of kind
    `feed` (from a source) and `base` (from a reference layer) have the vocabulary size if they lead to `embed` or
    `head`, else the attention head sizes and rotary parameters.
    """
    network: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    types = {name: _edge_types(donor) for name, donor in donors.items()}
    jumps = {junction.index: junction.jump for junction in find_junctions(graph)}
    for node in graph.nodes:
        network.add_node(node_name(node), kind=str(node.part), op=node.op)
    for before, after in pairwise(graph.nodes):
        jump = {"jump": jumps[after.index]} if after.part is Part.LAYER and after.index in jumps else {}
        hidden = types[after.feeds[0].donor].get("hidden")
        network.add_edge(node_name(before), node_name(after), kind="stream", hidden=hidden, **jump)
    for node in graph.nodes:
        for number, feed in enumerate(node.feeds):
            _add_feed(network, node, feed, types, kind="feed", order=number)
        if node.base:
            _add_feed(network, node, node.base, types, kind="base", order=len(node.feeds))
    return network


def node_name(node: Node) -> str:
    """The name of an output node in the networkx graph: `embed`, `layer 3`, or `head`."""
    return f"layer {node.index}" if node.part is Part.LAYER else str(node.part)


def _add_feed(
    network: nx.MultiDiGraph[str],
    node: Node,
    feed: Feed,
    types: Mapping[str, Mapping[str, Any]],
    *,
    kind: str,
    order: int,
) -> None:
    name = f"{feed.donor}[{node.part if feed.layer is None else feed.layer}]"
    network.add_node(name, kind="donor", donor=feed.donor, layer=feed.layer)
    keys = (*_GEOMETRY, "rotation") if node.part is Part.LAYER else ("vocab",)
    network.add_edge(name, node_name(node), kind=kind, order=order, **{key: types[feed.donor].get(key) for key in keys})


def _edge_types(donor: Donor) -> dict[str, Any]:
    names = collect_names(donor.architecture, donor.config)
    types = {key: names.get(key) for key in ("hidden", "vocab", *_GEOMETRY)}
    return types | {"rotation": read_rotary_parameters(donor.architecture, donor.config)}
