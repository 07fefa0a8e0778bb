"""Has the edits of a map measured by the workers of a cluster, which read the same windows as this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stacker.live.forecast.blueprint import Blueprint
from stacker.live.live_stack import LiveStack, Settings
from stacker.measure.losses import make_batches
from stacker.measure.mapping.edit_losses import Copies, Sums, start_edits
from stacker.measure.probes.edits import Edit
from stacker.measure.states.walk import walk_batches
from stacker.measure.texts import Window
from stacker.measure.workers.candidates import load_blueprint


@dataclass(frozen=True, slots=True)
class EditStudy:
    """What workers need to measure edits of a stack: the stack, its windows, and the stacks with damped copies."""

    stack: Blueprint
    settings: Settings
    windows: tuple[Window, ...]
    copies: Mapping[float, Blueprint]

    def open(self) -> Callable[[Edit], Sums]:
        """Take the windows through the stack; returns the function that measures an edit."""
        live = load_blueprint(self.stack, self.settings)
        copies = {factor: live.rearranged(each) for factor, each in self.copies.items()}
        walks = [*walk_batches(live, make_batches(self.windows))]
        return start_edits(walks, len(self.windows), copies)


def make_study(live: LiveStack, windows: Sequence[Window], copies: Copies | None) -> EditStudy:
    """The study of edits of a live stack."""
    drawn = {factor: each.blueprint for factor, each in (copies or {}).items()}
    return EditStudy(live.blueprint, live.settings, tuple(windows), drawn)
