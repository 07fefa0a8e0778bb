"""Turns the best edits of a map into specs that are ready to build. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stacker.measure.probes.edits import Edit, make_items
from stacker.measure.probes.results import Change
from stacker.text.emitter import Tree, write_yaml


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that edits start from: `donor` is its entry under `donors` in a spec, such as {stack: spec.yml}.

    `writers` are the roles of its tensors that write to the residual stream; empty if damped copies are impossible.
    """

    name: str
    donor: Tree
    depth: int
    writers: tuple[str, ...] = ()


def write_edit(origin: Origin, edit: Edit) -> str:
    """The text of the spec that makes an edit."""
    name = f"{origin.name}-{edit.label}-{edit.start}-{edit.stop}".replace(" ", "-")
    return _write(origin, name, make_items(edit, origin.depth, "donor", origin.writers))


def write_damped(origin: Origin, factor: float) -> str:
    """The text of a spec with all layers, and behind them all layers once more, damped."""
    whole = f"donor[0:{origin.depth}]"
    items: list[Tree] = [whole, {"slice": whole, "scale": dict.fromkeys(origin.writers, factor)}]
    return _write(origin, f"{origin.name}-damped", items)


def _write(origin: Origin, name: str, items: list[Tree]) -> str:
    return write_yaml({"stacker": 1, "name": name, "donors": {"donor": origin.donor}, "stack": items})


def rank_changes(changes: Sequence[Change]) -> list[Change]:
    """The changes from the largest gain to the largest harm, without drafts."""
    return sorted((change for change in changes if not change.is_draft), key=lambda change: change.alone.mean)
