"""Folds the hops of a stack (factors on the residual stream) into the tensors of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stacker.arch.files.architecture import FOLDS, Fold
from stacker.arch.files.roles import strip_role_suffixes
from stacker.arch.hops import find_fold, find_hop_refusals
from stacker.core.stack.graph import Table
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor

Factor = tuple[float, float]
"""A factor and its offset, as in Scale."""
UNCHANGED: Factor = (1.0, 0.0)


def find_hop_factors(node: Node, donors: Mapping[str, Donor], table: Table) -> dict[str, Factor]:
    """The factor and offset by which all hops up to a node change its tensors, by the keys of `table`.

    `table` has the tensors of the node's first donor layer. Tensors that do not change are left out.
    """
    if node.hops == 1.0:
        return {}
    folds = _find_folds(donors[node.feeds[0].donor], table)
    powers = {1: node.hops, -1: 1.0 / node.hops}
    return {key: (powers[fold.power], fold.offset) for key, fold in folds if fold.power}


def _find_folds(donor: Donor, table: Table) -> Iterator[tuple[str, Fold]]:
    roles = {tensor.role for tensor in table.values()}
    return ((key, find_fold(donor.architecture, key, tensor.role, roles)) for key, tensor in table.items())


def list_divided_roles(donors: Iterable[Donor]) -> tuple[str, ...]:
    """The roles of all tensors that hops divide, without endings such as `.expert`.

    Empty if a donor cannot have hops, or if hops change its tensors in another way than by dividing all of a role, so
    that factors by role cannot replace them.
    """
    folds: dict[str, set[Fold]] = {}
    for donor in donors:
        if any(find_hop_refusals(donor.architecture, donor.config, 0)):
            return ()
        for table in donor.layers():
            for key, fold in _find_folds(donor, table):
                folds.setdefault(strip_role_suffixes(table[key].role), set()).add(fold)
    divided = tuple(role for role, found in folds.items() if any(fold.power for fold in found))
    return divided if all(folds[role] == {FOLDS["divide"]} for role in divided) else ()
