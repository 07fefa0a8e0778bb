"""Defines what a sweep returns. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacker.measure.probes.results import Chance
from stacker.measure.results import Estimate, Measure
from stacker.search.sweeps.grid import Axis, Point


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of a sweep: its figures by measure, and the difference to the spec's own values in the first of them.

    If the stack cannot be made or measured, `failure` says why, and there are no figures.
    """

    point: Point
    plan: str = ""
    layers: int = 0
    figures: Mapping[Measure, float] | None = None
    difference: Estimate | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials in the order of the points. `own` is the spec with its own values, which the others are compared with.

    `best` is the index of the best trial by `measure`, or None if all failed; `final` is its difference to `own` on the
    items that are kept apart, of which there are `kept`. `chance` says how good the best of as many tries looks by
    chance, and `cached` counts results that were known before. `problem` says why the best could not be measured on the
    items that are kept apart.
    """

    name: str
    axes: tuple[Axis, ...]
    measure: Measure
    own: Trial
    trials: tuple[Trial, ...]
    items: int
    kept: int
    best: int | None = None
    final: Estimate | None = None
    chance: Chance | None = None
    cached: int = 0
    problem: str = ""

    @property
    def winner(self) -> Trial | None:
        """The best trial; None if all failed."""
        return None if self.best is None else self.trials[self.best]

    @property
    def verdict(self) -> str:
        """What the items that were kept apart say about the best trial."""
        if self.winner is None:
            return "nothing could be measured"
        if self.winner.plan == self.own.plan:
            return "the spec's own values are the best"
        if self.problem:
            return f"not confirmed: {self.problem}"
        if self.final is None or self.final.excludes_zero is None:
            return "not confirmed: there are too few items to keep some apart"
        if not self.final.excludes_zero:
            return "no clear difference to the spec's own values"
        return "better than the spec's own values" if self.final.value < 0 else "worse than the spec's own values"
