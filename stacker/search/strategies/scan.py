"""Scans the one- and two-parameter families of a space, which are cheap and hard to beat, before anything else.

A family moves one or two groups of variables and leaves the rest. The scan's best point is where CMA-ES starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stacker.search.ranking import rank_values
from stacker.search.results import Finalist, Proposal, Trial
from stacker.search.spaces.variables import Value, Variable, VariableSpace

STEPS = 7
"""How many values of a family of one parameter are tried, and PAIR of each of two."""
PAIR = 4
KEPT = 1
"""How many points become finalists beside the best of the last family."""


@dataclass
class Scan:
    """First all groups at once from one end of their ranges to the other, then each alone, then the first two.

    Each stage starts from the best point of the stages before it, which is measured again with the stage.
    """

    space: VariableSpace
    _seen: list[Trial] = field(default_factory=list, repr=False)
    _best: dict[str, Value] = field(default_factory=dict)
    _stages: Iterator[list[tuple[str, ...]]] | None = None

    def ask(self) -> Sequence[Proposal]:
        """The points of the next family."""
        if self._stages is None:
            self._best = self.space.start
            self._stages = self._list_stages()
        stage = next(self._stages, None)
        if stage is None:
            return ()
        names = stage[0]
        start = Proposal(self._best, "start" if not self._seen else "the best so far")
        points = {str(each.point): each for each in (start, *self._list_points(names))}
        return tuple(points.values())

    def _list_stages(self) -> Iterator[list[tuple[str, ...]]]:
        ordered = tuple(each for each in self.space.groups if self._find(each).is_ordered)
        if len(ordered) > 1:
            yield [ordered]
        for name in self.space.groups:
            yield [(name,)]
        if len(ordered) > 1:
            yield [("", *ordered[:2])]

    def _list_points(self, names: tuple[str, ...]) -> Iterator[Proposal]:
        if names[0] == "":
            one, two = names[1:]
            for first in _spread(self._find(one), PAIR):
                for second in _spread(self._find(two), PAIR):
                    yield self._propose({one: first, two: second})
            return
        for share in _spread(self._find(names[0]), STEPS):
            yield self._propose(dict.fromkeys(names, share))

    def _propose(self, shares: dict[str, float]) -> Proposal:
        set_to = ", ".join(f"{name} = {_format(self._find(name).at(share))}" for name, share in shares.items())
        return Proposal(self.space.set_groups(self._best, shares), set_to)

    def _find(self, group: str) -> Variable:
        return next(each for each in self.space.variables if (each.group or each.name) == group)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Go on from the best of a family."""
        self._seen += trials
        self._best = dict(trials[rank_values([trial.values for trial in trials])[0]].point)

    def list_finalists(self) -> Sequence[Finalist]:
        """The best points of all families, and that of the last one first."""
        order = [self._seen[at] for at in rank_values([trial.values for trial in self._seen])]
        last = Finalist("scan", "the best of the last family", self._best)
        others = [Finalist("scan", trial.proposal.how, trial.point) for trial in order if trial.values is not None]
        return (last, *[each for each in others if each.point != self._best][:KEPT])


def _spread(variable: Variable, steps: int) -> tuple[float, ...]:
    count = min(steps, len(variable.choices)) if variable.choices else steps
    if not variable.is_ordered:
        count = len(variable.choices)
    return tuple(at / (count - 1) for at in range(count))


def _format(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"
