"""Measures edits of a live stack on some passages, and makes maps of their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from stacker.errors import StackerError
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import make_batches
from stacker.measure.mapping.chance import Floats, estimate_changes, judge_changes
from stacker.measure.mapping.edit_losses import Copies, Sums, measure_unchanged, start_edits
from stacker.measure.mapping.edit_study import make_study
from stacker.measure.mapping.ledger import Ledger
from stacker.measure.probes.edits import Edit
from stacker.measure.probes.results import Change, DepthMap, Interval
from stacker.measure.states.walk import Walk, walk_batches
from stacker.measure.texts import Window
from stacker.measure.workers.workers import HERE, Workers

UNCHANGED = "unchanged"
"""The entry of a ledger for the model as it is."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A live stack that has read some windows; `tokens` has the number of scored tokens of each.

    What `workers` can measure is measured there.
    """

    windows: tuple[Window, ...] = field(repr=False)
    walks: tuple[Walk, ...] = field(repr=False)
    tokens: Floats
    workers: Workers = field(default=HERE, repr=False)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.walks[0].depth


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of each passage: of the unchanged model, and of each edit that has been measured."""

    unchanged: Sums
    edited: dict[Edit, Sums]

    def compare(self, edits: Sequence[Edit]) -> Floats:
        """The changes of the summed losses, [passages, edits]."""
        edited = np.array([self.edited[edit] for edit in edits], dtype=np.float64)
        changes: Floats = edited.T - np.array(self.unchanged)[:, None]
        return changes


Tell = Callable[[Losses, Edit], None]
"""A function that is called with all losses so far, and the edit whose losses have just become known."""


def prepare(live: LiveStack, windows: Sequence[Window], workers: Workers = HERE) -> Prepared:
    """Take the windows, each of a passage of its own, through all layers of a live stack and keep all states."""
    tokens = np.array([len(window.tokens) - window.counted for window in windows], dtype=np.float64)
    return Prepared(tuple(windows), tuple(walk_batches(live, make_batches(windows))), tokens, workers)


def measure_losses(
    prepared: Prepared, edits: Sequence[Edit], ledger: Ledger | None, tell: Tell, copies: Copies | None = None
) -> Losses:
    """The losses of all edits, in the given order; those in the ledger are not measured again.

    If it is interrupted from the keyboard, what has been measured so far is returned.
    """
    known = ledger.read() if ledger else {}
    count = len(prepared.tokens)
    found = Losses(known.get(UNCHANGED) or _measure_unchanged(prepared, ledger), {})
    for edit in edits:
        if str(edit) in known:
            found.edited[edit] = known[str(edit)]
    rest = [edit for edit in edits if edit not in found.edited]
    study = make_study(prepared.walks[0].head.live, prepared.windows, copies)
    measure = start_edits(prepared.walks, count, copies)
    with suppress(KeyboardInterrupt):
        for edit, answer in prepared.workers.measure(study, rest, lambda edit: edit):
            if isinstance(answer, StackerError):
                raise answer
            sums = found.edited[edit] = answer or measure(edit)
            if ledger:
                ledger.add(str(edit), sums)
            tell(found, edit)
    return found


def _measure_unchanged(prepared: Prepared, ledger: Ledger | None) -> Sums:
    unchanged = measure_unchanged(prepared.walks, len(prepared.tokens))
    if ledger:
        ledger.add(UNCHANGED, unchanged)
    return unchanged


def draft_map(name: str, prepared: Prepared, losses: Losses, total: int) -> DepthMap:
    """The map so far, quickly: without intervals and without a judgement on chance."""
    base, tokens = sum(losses.unchanged), float(prepared.tokens.sum())
    means = {edit: (sum(sums) - base) / tokens for edit, sums in losses.edited.items()}
    points = {edit: Interval(mean, mean, mean) for edit, mean in means.items()}
    changes = tuple(Change(edit, point, point) for edit, point in points.items())
    return DepthMap(name, prepared.depth, base / tokens, int(tokens), changes, total, None)


def judge_map(name: str, prepared: Prepared, losses: Losses, total: int) -> DepthMap:
    """The map of all edits that have been measured, with intervals and a judgement on chance."""
    edits = tuple(losses.edited)
    tokens = float(prepared.tokens.sum())
    changes, chance = judge_changes(edits, losses.compare(edits), prepared.tokens) if edits else ((), None)
    loss = sum(losses.unchanged) / tokens
    return DepthMap(name, prepared.depth, loss, int(tokens), changes, total, chance)


def confirm_changes(prepared: Prepared, edits: Sequence[Edit], copies: Copies | None = None) -> tuple[Interval, ...]:
    """The changes of some edits on passages that had no part in choosing them; empty if interrupted."""
    losses = measure_losses(prepared, edits, None, lambda _losses, _edit: None, copies)
    if len(losses.edited) < len(edits):
        return ()
    return estimate_changes(losses.compare(edits), prepared.tokens)
