"""Searches orders of layers by evolution: small changes of good orders, kept in an archive with all that was tried.

The best entries are measured again with each generation, on its passages, so that luck does not last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stacker.search.results import Finalist, Proposal, Trial
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import Arrangement, drop_idle, read_point, write_point
from stacker.search.strategies.archive import Archive, Entry
from stacker.search.strategies.moves import MOVES, cross
from stacker.search.strategies.surrogate import Surrogate, count_uses, fit_surrogate

POPULATION = 12
ELITES = 2
"""How many of a generation are earlier entries that are measured again."""
PARENTS = 10
LITTER = 4
"""Of how many children the surrogate, if it is trusted, chooses one."""
CROSSED = 0.2
"""The share of children with two parents."""
FINALISTS = 3


@dataclass
class Evolution:
    """Evolution from `seeds`, all of which are the first generation."""

    space: ArrangementSpace
    seeds: Sequence[Proposal]
    seed: int
    archive: Archive = field(default_factory=lambda: Archive(PARENTS))
    _generation: int = 0
    _tried: set[Arrangement] = field(default_factory=set, repr=False)
    _source: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the source of random numbers."""
        self._source = np.random.default_rng(self.seed)

    def ask(self) -> Sequence[Proposal]:
        """The seeds first; later the best entries again, and new children."""
        self._generation += 1
        if self._generation == 1:
            return self.seeds
        again = [_ask_again(entry) for entry in self._list_uncertain()[:ELITES]]
        return (*again, *self._make_children(POPULATION - len(again)))

    def _list_uncertain(self) -> list[Entry]:
        """The best entries, those with the fewest trials first."""
        return sorted(self.archive.list_best()[: 2 * ELITES], key=lambda entry: len(entry.trials))

    def _make_children(self, count: int) -> list[Proposal]:
        if not self.archive.entries:
            return []
        surrogate, found = self._fit(), dict[Arrangement, Proposal]()
        litter = LITTER if surrogate else 1
        for _ in range(50 * count):
            children = [child for child in (self._make_child() for _ in range(litter)) if self._is_new(child, found)]
            if children:
                places, proposal = self._choose(children, surrogate)
                found[places] = proposal
            if len(found) == count:
                break
        return [*found.values()]

    def _is_new(self, child: tuple[Arrangement, Proposal], found: dict[Arrangement, Proposal]) -> bool:
        """Whether a child is in the space and does something that no order did before."""
        places, proposal = child
        known = self._tried.union(map(drop_idle, found))
        fits = not self.space.find_problem(places) and not self.archive.has(proposal.point)
        return fits and drop_idle(places) not in known

    def _make_child(self) -> tuple[Arrangement, Proposal]:
        """A changed or crossed order of good parents."""
        source, parent = self._source, self.archive.draw_parent(self._source)
        places, numbers = read_point(parent.point), [parent.trials[-1].number]
        if source.random() < CROSSED:
            other = self.archive.draw_parent(source)
            places, how = cross(places, read_point(other.point), source)
            numbers.append(other.trials[-1].number)
        else:
            places, how = MOVES[int(source.integers(len(MOVES)))](self.space, places, source)
        return places, Proposal(write_point(places), how, tuple(numbers))

    def _choose(
        self, children: Sequence[tuple[Arrangement, Proposal]], surrogate: Surrogate | None
    ) -> tuple[Arrangement, Proposal]:
        """The child with the lowest predicted value; the first without a surrogate."""
        if surrogate is None:
            return children[0]
        features = np.array([count_uses(places, self.space.depths) for places, _ in children])
        return children[int(np.argmin(surrogate.predict(features)))]

    def _fit(self) -> Surrogate | None:
        pairs = [*self.archive.iterate_trials()]
        features = np.array([count_uses(read_point(point), self.space.depths) for point, _ in pairs])
        surrogate = fit_surrogate(features, [value for _, value in pairs])
        return surrogate if surrogate and surrogate.is_trusted else None

    def tell(self, trials: Sequence[Trial]) -> None:
        """Put the trials into the archive."""
        for trial in trials:
            self.archive.add(trial)
            self._tried.add(drop_idle(read_point(trial.point)))

    def list_finalists(self) -> Sequence[Finalist]:
        """The best entries; those that were measured more than once are preferred."""
        best = self.archive.list_best()
        sure = [entry for entry in best if len(entry.trials) > 1]
        chosen = sure[:FINALISTS] + [entry for entry in best if len(entry.trials) == 1]
        return tuple(Finalist("evolution", entry.how, entry.point) for entry in chosen[:FINALISTS])


def _ask_again(entry: Entry) -> Proposal:
    return Proposal(entry.point, f"again: {entry.how.removeprefix('again: ')}", (entry.trials[0].number,))
