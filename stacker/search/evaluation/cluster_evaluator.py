"""Measures the points of a generation on the workers of a cluster, with the values that one process would find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacker.errors import StackerError
from stacker.live.forecast.blueprint import Blueprint
from stacker.measure.workers.workers import Workers
from stacker.search.evaluation.live_evaluator import LiveEvaluator, list_values
from stacker.search.evaluation.reading import Heat, is_behind, is_ruined
from stacker.search.evaluation.readings import Asked, Found, FoundReading, Reading, ReadingStudy
from stacker.search.ranking import Floats
from stacker.search.results import Point, Trial


@dataclass(kw_only=True)
class ClusterEvaluator(LiveEvaluator):
    """Lets `workers` read the first heats of all points of a generation at once, then those of the points that go on.

    `draw` makes the blueprint of what `decode` makes. Each point is judged in its turn, as in one process.
    """

    workers: Workers
    draw: Callable[[Any], Blueprint]
    _expected: int = field(default=-1, repr=False)
    _found: dict[str, Found | StackerError] = field(default_factory=dict, repr=False)
    _more: Iterator[tuple[Blueprint, Found | StackerError | None]] = field(default=iter(()), repr=False)

    def expect(self, points: Sequence[Point], generation: int, earlier: Sequence[Trial]) -> None:
        """Have workers begin with the points that are left of a generation."""
        if generation == self._expected:
            return
        self._expected, self._found, start = generation, {}, self.draw(self.start)
        heats, asked = self._draw_items(generation)
        blueprints = [*self._list_blueprints(points)]
        unique = {each.plan.id: each for each in (start, *blueprints)}

        def choose(each: Blueprint) -> Asked:
            return Asked(each, heats if each.plan.id == start.plan.id else heats[:1], asked)

        for each, answer in self.workers.measure(self._study, unique.values(), choose):
            self._keep(each, answer)
        ahead = [*self._find_ahead(blueprints, heats[0], self._begin(generation).start, earlier)]
        more = {each.plan.id: each for each in ahead if each.plan.id != start.plan.id} if heats[1:] else {}
        self._more = self.workers.measure(self._study, more.values(), lambda each: Asked(each, heats[1:]))

    @property
    def _study(self) -> ReadingStudy:
        return ReadingStudy(self.shared.blueprint, self.draw(self.start), self.shared.settings, self.course.batch)

    def _list_blueprints(self, points: Sequence[Point]) -> Iterator[Blueprint]:
        for point in points:
            try:
                yield self.draw(self.decode(point))
            except StackerError:  # it is found again when the point's turn comes
                continue

    def _keep(self, each: Blueprint, answer: Found | StackerError | None) -> None:
        known = self._found.get(each.plan.id, {})
        if isinstance(answer, StackerError):
            self._found[each.plan.id] = answer
        elif not isinstance(known, StackerError):
            self._found[each.plan.id] = {**known, **(answer or {})}

    def _find_ahead(
        self, blueprints: Sequence[Blueprint], heat: Heat, start: Floats, earlier: Sequence[Trial]
    ) -> Iterator[Blueprint]:
        """Yield the stacks that a race goes on with after the first heat, as it is known so far."""
        firsts = list_values(earlier, 0)
        for each in blueprints:
            found = self._found[each.plan.id]
            losses = found.get(heat.start) if not isinstance(found, StackerError) else None
            if losses is None or isinstance(losses, str):
                continue
            changes = losses - start[heat.start : heat.stop]
            if not is_behind(self._average(changes), firsts) and not is_ruined(changes):
                yield each
            firsts.append(self._average(changes))

    def _open(self, stack: Any) -> Reading:
        return self._find(self.draw(stack))

    def _find(self, blueprint: Blueprint) -> FoundReading:
        found = self._found[blueprint.plan.id]
        if isinstance(found, StackerError):
            raise found
        return FoundReading(blueprint, found, self._fetch)

    def _fetch(self, blueprint: Blueprint, heat: Heat) -> Found:
        """What workers find of a later heat: they may have begun already."""
        for each, answer in self._more:
            self._keep(each, answer)
            if each.plan.id == blueprint.plan.id:
                break
        known = self._find(blueprint).found
        if heat.start not in known:
            for each, answer in self.workers.measure(self._study, [blueprint], lambda each: Asked(each, (heat,))):
                self._keep(each, answer)
        return self._find(blueprint).found
