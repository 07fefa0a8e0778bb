"""A stack as a networkx graph, for whoever wants to walk, measure or draw it with that library.

Nodes are `embed`, `layer 0` … and `head` on the residual stream, and the donor layers that feed them (`xwin[3]`).
Nothing else in the house imports networkx, and this only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import networkx as nx

from stacker.arch.dimensions import names_in
from stacker.arch.files.architecture import Part
from stacker.core.config.agreement import rotation
from stacker.core.stack.graph import StackGraph, find_junctions
from stacker.core.stack.nodes import Feed, Node
from stacker.core.values.donor import Donor

_GEOMETRY = ("heads", "kv_heads", "head_dim")


def network(graph: StackGraph, donors: Mapping[str, Donor]) -> nx.MultiDiGraph[str]:
    """The stack with typed edges.

    Stream edges carry the hidden size, and `jump` where they are junctions; feed edges the vocabulary into the ends,
    the head geometry and rotary parameters into layers; base edges run from reference layers of ops that have one.
    """
    found: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    types = {name: _types(donor) for name, donor in donors.items()}
    jumps = {junction.index: junction.jump for junction in find_junctions(graph)}
    for node in graph.nodes:
        found.add_node(node_name(node), kind=str(node.part), op=node.op)
    for before, after in pairwise(graph.nodes):
        jump = {"jump": jumps[after.index]} if after.part is Part.LAYER and after.index in jumps else {}
        hidden = types[after.feeds[0].donor].get("hidden")
        found.add_edge(node_name(before), node_name(after), kind="stream", hidden=hidden, **jump)
    for node in graph.nodes:
        for number, feed in enumerate(node.feeds):
            _feed(found, node, feed, types, kind="feed", order=number)
        if node.base:
            _feed(found, node, node.base, types, kind="base", order=len(node.feeds))
    return found


def node_name(node: Node) -> str:
    """What a place on the stream is called in the network."""
    return f"layer {node.index}" if node.part is Part.LAYER else str(node.part)


def _feed(
    found: nx.MultiDiGraph[str],
    node: Node,
    feed: Feed,
    types: Mapping[str, Mapping[str, Any]],
    *,
    kind: str,
    order: int,
) -> None:
    name = f"{feed.donor}[{node.part if feed.layer is None else feed.layer}]"
    found.add_node(name, kind="donor", donor=feed.donor, layer=feed.layer)
    keys = (*_GEOMETRY, "rotation") if node.part is Part.LAYER else ("vocab",)
    found.add_edge(name, node_name(node), kind=kind, order=order, **{key: types[feed.donor].get(key) for key in keys})


def _types(donor: Donor) -> dict[str, Any]:
    names = names_in(donor.architecture, donor.config)
    said = {key: names.get(key) for key in ("hidden", "vocab", *_GEOMETRY)}
    return said | {"rotation": rotation(names)}
