"""The lint of factors that a norm takes out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stacker.arch.roles import NORMED_BY, base_role
from stacker.core.donor import Donor
from stacker.core.graph import StackGraph
from stacker.core.nodes import Node
from stacker.core.parameters import factor_at
from stacker.core.ranges import layers_text
from stacker.core.tables import Naming, Table, node_tables
from stacker.errors import Problem, Severity
from stacker.spec.model import StackSpec


def lint_cancelled_factors(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Projections are scaled whose output is normed, so that the factor has no effect; 0 has."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node, named, tables in node_tables(graph, donors):
        for role, norm in _cancelled(node, named, tables[0]):
            found.setdefault((role, norm), []).append(node)
    for (role, norm), nodes in found.items():
        message = f"scaling {role} has no effect in {layers_text(node.index for node in nodes)}: {norm} follows it"
        yield Problem(message, f"scale {norm} instead", nodes[0].mark, Severity.WARNING)


def _cancelled(node: Node, named: Naming, table: Table) -> Iterator[tuple[str, str]]:
    """The roles of a layer that are scaled in vain, each with the norm that undoes it."""
    scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
    if not scales:
        return
    factors = {tensor.role: factor_at(scales, tensor.role, named(name)) for name, tensor in table.items()}
    for role, factor in factors.items():
        norm = NORMED_BY.get(base_role(role))
        if norm in factors and not role.endswith(".bias") and factor not in (0.0, 1.0) and factors[norm] == 1.0:
            yield base_role(role), norm
