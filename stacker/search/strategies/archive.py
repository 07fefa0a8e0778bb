"""Keeps everything that an evolution has measured, pools repeated measurements, and chooses parents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stacker.search.ranking import rank_values
from stacker.search.results import Point, Trial, Values


@dataclass
class Entry:
    """A point with all its trials that could be measured."""

    point: Point
    how: str
    trials: list[Trial] = field(default_factory=list)

    @property
    def values(self) -> Values:
        """The mean values of all trials, each weighted by the passages it read."""
        weights = [max(1, trial.measured.passages) for trial in self.trials]
        rows = [trial.values or () for trial in self.trials]
        return tuple(
            sum(w * each for w, each in zip(weights, column, strict=True)) / sum(weights)
            for column in zip(*rows, strict=True)
        )

    @property
    def cautious(self) -> Values:
        """The values, the first of them raised by its standard error, so that one lucky trial does not count much."""
        errors = [trial.measured.error for trial in self.trials]
        known = [each for each in errors if each is not None]
        error = math.sqrt(sum(each**2 for each in known)) / len(known) if known else 0.0
        first, *rest = self.values
        return (first + error, *rest)


@dataclass
class Archive:
    """All points that were tried, by their JSON text; the best `keep` of them are the parents of new points."""

    keep: int
    entries: dict[str, Entry] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    def add(self, trial: Trial) -> None:
        """Keep a trial; one that failed is only remembered as tried."""
        key = json.dumps(trial.point)
        self.tried.add(key)
        if trial.values is not None:
            self.entries.setdefault(key, Entry(trial.point, trial.proposal.how)).trials.append(trial)

    def has(self, point: Point) -> bool:
        """Whether a point was tried."""
        return json.dumps(point) in self.tried

    def list_best(self) -> list[Entry]:
        """The entries from the best to the worst by their cautious values."""
        entries = [*self.entries.values()]
        return [entries[at] for at in rank_values([each.cautious for each in entries])]

    def list_parents(self) -> list[Entry]:
        """The best entry of each depth, then the best others, `keep` in all: shallow and deep stacks both live on."""
        best = self.list_best()
        niches: dict[int, Entry] = {}
        for each in best:
            niches.setdefault(each.trials[0].measured.layers, each)
        leaders = [*niches.values()][: self.keep // 2]
        return (leaders + [each for each in best if all(each is not other for other in leaders)])[: self.keep]

    def draw_parent(self, source: np.random.Generator) -> Entry:
        """The better of two random parents."""
        parents = self.list_parents()
        order = {id(each): at for at, each in enumerate(self.list_best())}
        drawn = [parents[int(at)] for at in source.integers(len(parents), size=2)]
        return min(drawn, key=lambda each: order[id(each)])

    def iterate_trials(self) -> Iterator[tuple[Point, float]]:
        """Yield each point with its first value."""
        return ((each.point, each.values[0]) for each in self.entries.values())
