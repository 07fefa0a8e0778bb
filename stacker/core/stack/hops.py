"""Folds the hops of a stack (factors on the residual stream) into the tensors of its layers."""

from __future__ import annotations

from collections.abc import Mapping

from stacker.arch.hops import find_fold
from stacker.core.stack.graph import Table
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor

Factor = tuple[float, float]
"""A factor and its offset, as in Scale."""
UNCHANGED: Factor = (1.0, 0.0)


def find_hop_factors(node: Node, donors: Mapping[str, Donor], table: Table) -> dict[str, Factor]:
    """The factors that all hops up to a node put on its tensors, keyed as in `table`; unchanged tensors are left out.

    `table` has the tensors of the node's first donor layer.
    """
    if node.hops == 1.0:
        return {}
    architecture = donors[node.feeds[0].donor].architecture
    roles = {tensor.role for tensor in table.values()}
    folds = {key: find_fold(architecture, key, tensor.role, roles) for key, tensor in table.items()}
    return {key: (node.hops**fold.power, fold.offset) for key, fold in folds.items() if fold.power}
