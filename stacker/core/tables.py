"""The donor tensors that each node of a stack reads, by the names they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from stacker.arch.apart import layer_tensor_name
from stacker.arch.model import Part
from stacker.core.donor import Donor, DonorTensor
from stacker.core.graph import StackGraph
from stacker.core.nodes import Feed, Node

Table = Mapping[str, DonorTensor]
Naming = Callable[[str], str]
"""The full name in the output of what a table has under a key."""


def node_tables(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Node, Naming, tuple[Table, ...]]]:
    """Each node with the names it gives and the tensors of its feeds, last of its base if it has one.

    Tensors of a layer go by what follows the layer prefix, those outside the layers by their full names.
    """
    layers = {name: donor.layers() for name, donor in donors.items()}
    prefix = donors[graph.template].architecture.prefix
    for node in graph.nodes:
        named = partial(layer_tensor_name, prefix, node.index) if node.part is Part.LAYER else str
        yield node, named, tuple(_table(node.part, feed, donors[feed.donor], layers) for feed in feeds_and_base(node))


def feeds_and_base(node: Node) -> tuple[Feed, ...]:
    """What a node reads: its feeds, and last its base if it has one."""
    return (*node.feeds, node.base) if node.base else node.feeds


def _table(part: Part, feed: Feed, donor: Donor, layers: Mapping[str, tuple[dict[str, DonorTensor], ...]]) -> Table:
    return layers[feed.donor][feed.layer or 0] if part is Part.LAYER else donor.outside(part)
