"""Measures all edits on a few passages, and the best of these on others.

The few choose, so they would flatter what they chose: refined edits are judged by the other passages alone.
"""

from __future__ import annotations

from dataclasses import replace

from stacker.measure.mapping.maps import Losses
from stacker.measure.probes.edits import Edit
from stacker.measure.probes.results import DepthMap


def choose_edits(drafted: Losses, count: int) -> tuple[Edit, ...]:
    """The `count` edits with the smallest losses, the smallest first."""
    return tuple(sorted(drafted.edited, key=lambda edit: sum(drafted.edited[edit]))[:count])


def mark_drafts(found: DepthMap, unrefined: int) -> DepthMap:
    """A map all of whose changes are drafts, of which so many are still to be refined."""
    return replace(
        found, changes=tuple(replace(change, is_draft=True) for change in found.changes), unrefined=unrefined
    )


def refine_map(draft: DepthMap, refined: DepthMap) -> DepthMap:
    """A map of drafts with the changes of another map in their places; what chance would give is about these alone."""
    better = {change.edit: change for change in refined.changes}
    tokens = draft.tokens + refined.tokens
    loss = (draft.loss * draft.tokens + refined.loss * refined.tokens) / tokens
    return replace(
        draft,
        loss=loss,
        tokens=tokens,
        changes=tuple(better.get(change.edit, change) for change in draft.changes),
        chance=refined.chance and replace(refined.chance, drafted=len(draft.changes)),
        unrefined=refined.total - len(refined.changes),
    )
