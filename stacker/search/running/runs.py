"""Runs a search: each strategy asks for points, which are measured and told, until the limit; all of it is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

from stacker.errors import SpecError, StackerError
from stacker.search.limits import Limit
from stacker.search.log import Log, open_log
from stacker.search.ranking import find_front
from stacker.search.results import Finalist, Measured, Point, Proposal, Trial
from stacker.search.running.strategy import Strategy
from stacker.search.running.table import Space, check_strategies, make_strategies
from stacker.search.spaces.variables import Value, make_space

DEFAULT = 100
"""How many candidates are tried if neither candidates nor time are limited."""


class Evaluator(Protocol):
    """Measures points. `earlier` are the trials of the same generation so far, in order."""

    def measure(self, point: Point, generation: int, earlier: Sequence[Trial]) -> Measured:
        """What is found about a point; a stack that cannot be made or run is a result, not an error."""

    def expect(self, points: Sequence[Point], generation: int, earlier: Sequence[Trial]) -> None:
        """Prepare for points that will be measured in this order; called before each of them."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A strategy at work until `limit`, which counts the trials of all phases; `name` marks its trials."""

    name: str
    strategy: Strategy = field(repr=False)
    evaluator: Evaluator = field(repr=False)
    limit: Limit


Tell = Callable[[Sequence[Trial]], None]
"""A function that is called with all trials so far after each of them."""


def run_phase(phase: Phase, log: Log, tell: Tell = lambda _trials: None) -> Sequence[Finalist]:
    """Ask, measure and tell, at least one generation; returns what the strategy found."""
    for generation in count(_count_generations(log.trials)):
        proposals = phase.strategy.ask()
        if not proposals or (_has_begun(phase, log.trials) and phase.limit.is_reached(log.trials, len(proposals))):
            break
        trials: list[Trial] = []
        for at in range(len(proposals)):
            trials.append(_try(phase, generation, proposals[at:], trials, log))
            tell(log.trials)
        phase.strategy.tell(trials)
    return phase.strategy.list_finalists()


def _count_generations(trials: Sequence[Trial]) -> int:
    return trials[-1].generation + 1 if trials else 0


def _has_begun(phase: Phase, trials: Sequence[Trial]) -> bool:
    return any(trial.phase == phase.name for trial in trials)


def _try(phase: Phase, generation: int, proposals: Sequence[Proposal], trials: Sequence[Trial], log: Log) -> Trial:
    """Try the first of the proposals that are left of a generation."""

    def measure() -> Measured:
        phase.evaluator.expect([each.point for each in proposals], generation, tuple(trials))
        return phase.evaluator.measure(proposals[0].point, generation, tuple(trials))

    return log.try_point(phase.name, generation, proposals[0], measure)


@dataclass(frozen=True, slots=True)
class FunctionEvaluator:
    """Measures what a space decodes with a function, which returns a number or one for each objective."""

    decode: Callable[[Point], Any]
    objective: Callable[[Any], Any]

    def measure(self, point: Point, _generation: int, _earlier: Sequence[Trial]) -> Measured:
        """The function's values; a StackerError of it is a failed trial, any other exception is raised."""
        try:
            found = self.objective(self.decode(point))
        except StackerError as error:
            return Measured(None, problem=error.problems[0].message)
        values = (found,) if isinstance(found, Real) else tuple(found)
        numbers = tuple(float(each) for each in values)
        return Measured(numbers, passages=1)

    def expect(self, points: Sequence[Point], generation: int, earlier: Sequence[Trial]) -> None:
        """Do nothing: functions are called one after the other."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `search` returns: all trials in order, and what each strategy returned, the last one first."""

    trials: tuple[Trial, ...] = field(repr=False)
    finalists: tuple[Finalist, ...]

    @property
    def best(self) -> Point:
        """The first finalist: with CMA-ES, the mean of its distribution."""
        return self.finalists[0].point

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other one dominates; with one objective, the one with the lowest value."""
        return tuple(self.trials[at] for at in find_front([trial.values for trial in self.trials]))


def search(
    space: Space | Mapping[str, Sequence[Value]],
    objective: Callable[[Any], float | Sequence[float]],
    *,
    strategy: str | Sequence[str] | None = None,
    candidates: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    log: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Found:
    """Search a space for what makes an objective small: a function of what the space decodes.

    A mapping from names to ranges is a space too, whose points are decoded to mappings from names to values. The
    objective returns a number, or several for a Pareto front. Strategies run in turn, each with an equal share of
    the limit; without names, those that fit the space. With a `log`, an interrupted search goes on; `settings` are
    things that its file must agree on. SpecError if a strategy does not fit.
    """
    limit = Limit(candidates, seconds).or_candidates(DEFAULT)
    names = (strategy,) if isinstance(strategy, str) else strategy
    if isinstance(space, Mapping):
        space = make_space(space)
    check_strategies((type(space),), names or ())
    evaluator = FunctionEvaluator(space.decode, objective)
    head = {
        "space": space.identify(),
        "budget": [limit.candidates, limit.seconds],
        "strategies": [*(names or ())],
        "seed": seed,
        "settings": dict(settings or {}),
    }
    with open_log(None if log is None else Path(log), head) as opened:
        finalists: list[Finalist] = []
        planned = make_strategies(space, names, seed)
        for number, (name, make) in enumerate(planned):
            phase = Phase(name, make(finalists), evaluator, limit.share((number + 1) / len(planned)))
            finalists = [*run_phase(phase, opened), *finalists]
        _check_measured(opened.trials)
        return Found(tuple(opened.trials), tuple(finalists))


def _check_measured(trials: Sequence[Trial]) -> None:
    """Raise a SpecError if not a single trial could be measured."""
    problems = [trial.measured.problem for trial in trials if trial.values is None]
    if trials and len(problems) == len(trials):
        raise SpecError.of(f"none of the {len(trials)} candidates could be measured; the first: {problems[0]}")
