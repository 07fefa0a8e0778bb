"""Shows family trees, and the origins of tensors, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from stacker.core.lineage.family_tree import Ancestor, find_conflicts, list_licences
from stacker.core.lineage.origins import TensorOrigins


def tree_json(tree: Ancestor) -> dict[str, Any]:
    """The tree, its licences, and the sources whose licence differs from that of what is made from them."""
    return {
        "tree": _ancestor_json(tree),
        "licences": {licence: list(sources) for licence, sources in list_licences(tree).items()},
        "conflicts": [each.source for each in find_conflicts(tree)],
    }


def _ancestor_json(ancestor: Ancestor) -> dict[str, Any]:
    entries = {name: getattr(ancestor, name) for name in ("source", "relation", "revision", "licence", "kind", "note")}
    kept = {name: value for name, value in entries.items() if value}
    return {**kept, "state": str(ancestor.state), "parents": [_ancestor_json(each) for each in ancestor.parents]}


def origins_json(found: Sequence[TensorOrigins]) -> list[dict[str, Any]]:
    """For each tensor how it was made, and its origins."""
    return [asdict(each) for each in found]
