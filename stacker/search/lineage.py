"""Follows how a search got where it ended: what improved, and the ancestors of the winner."""

from __future__ import annotations

from collections.abc import Sequence

from stacker.search.results import Losses, Trial


def list_improvements(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials whose first value is lower than that of all before them."""
    best, found = float("inf"), []
    for trial in trials:
        if trial.values is not None and trial.values[0] < best:
            best = trial.values[0]
            found.append(trial)
    return tuple(found)


def find_lineage(trials: Sequence[Trial], plan: str) -> tuple[Trial, ...]:
    """The ancestors of the stack with this plan, the oldest first, and its own first trial last.

    Empty if no trial has this plan, as the mean of a distribution. Of two parents, the first one's line is followed.
    """
    own = next((trial for trial in trials if trial.measured.plan == plan), None)
    line: list[Trial] = []
    while own is not None and own not in line:
        line.append(own)
        parents = own.proposal.parents
        own = trials[parents[0]] if parents else None
    return tuple(reversed(line))


def list_measured(trials: Sequence[Trial]) -> tuple[tuple[Trial, ...], ...]:
    """The trials that could be measured, grouped by their plans, the groups with the lowest mean value first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.values is not None:
            groups.setdefault(trial.measured.plan or str(trial.number), []).append(trial)
    return tuple(sorted(map(tuple, groups.values()), key=mean_value))


def mean_value(trials: Sequence[Trial]) -> float:
    """The mean of the first values of trials, each weighted by the passages it read."""
    pairs = [(trial.values[0], max(1, trial.measured.passages)) for trial in trials if trial.values]
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def split_losses(losses: Sequence[Losses]) -> tuple[tuple[Losses, ...], tuple[Losses, ...]]:
    """The losses on the choice part, and those on the final part, of which the first are the winner's."""
    parts = {part: tuple(each for each in losses if each.part == part) for part in ("choice", "final")}
    return parts["choice"], parts["final"]
