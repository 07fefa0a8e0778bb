"""Searches the data-flow space of Sakana's paper with CMA-ES: Akiba et al. 2024 (arXiv 2403.13187), section 3.2.

The layers of all donors stand in a series of M layers, which is passed r times. An indicator for each of the M·r
positions says whether its layer is run. Where two layers meet that do not follow each other, the residual stream is
multiplied by a weight, which a small network computes from the two layers and the position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stacker.search.ranking import Floats, rank_values
from stacker.search.requirements import import_package
from stacker.search.results import Finalist, Proposal, Trial
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import Arrangement, Place, write_point

ROUNDS = 3
"""How often the series is passed (r)."""
SIGMA = 0.5
HIDDEN = 4
"""The size of the network's hidden layer; it has 3 inputs and one output."""
REACH = 0.3
"""How far the network can move a weight from 1."""
WEIGHTS = 3 * HIDDEN + HIDDEN + HIDDEN + 1


@dataclass
class Sakana:
    """CMA-ES over indicators and the network of hops.

    Indicators start at 2σ for the first pass through the start's layers and at −2σ elsewhere: the start is the most
    likely order. If more layers are indicated than the space allows, the strongest indicators count.
    """

    space: ArrangementSpace
    seed: int
    population: int | None = None
    _optimizer: Any = field(default=None, repr=False)
    _asked: list[Floats] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Set up the distribution."""
        self._series = tuple(Place(name, layer) for name, depth in self.space.depths.items() for layer in range(depth))
        used = {(each.donor, each.layer) for each in self.space.start}
        first = [2.0 if (each.donor, each.layer) in used else -2.0 for each in self._series]
        indicators = SIGMA * np.array([*first, *[-2.0] * (len(first) * (ROUNDS - 1))])
        mean = np.concatenate([indicators, np.zeros(WEIGHTS if self.space.can_hop else 0)])
        self._optimizer = import_package("cmaes").CMA(
            mean=mean, sigma=SIGMA, seed=self.seed, population_size=self.population
        )

    def ask(self) -> Sequence[Proposal]:
        """A population drawn from the distribution."""
        self._asked = [self._optimizer.ask() for _ in range(self._optimizer.population_size)]
        how = f"draw {self._optimizer.generation + 1}"
        return tuple(Proposal(write_point(self.read_vector(each)), how) for each in self._asked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Move the distribution towards the better half; trials that failed count as the worst."""
        order = rank_values([trial.values for trial in trials])
        self._optimizer.tell([(self._asked[at], float(rank)) for rank, at in enumerate(order)])

    def list_finalists(self) -> Sequence[Finalist]:
        """The order of the distribution's mean."""
        mean = np.asarray(self._optimizer.mean)
        return (Finalist("sakana", "the mean of CMA-ES", write_point(self.read_vector(mean))),)

    def read_vector(self, vector: Floats) -> Arrangement:
        """The order that indicators and network make."""
        count = len(self._series) * ROUNDS
        indicators, network = vector[:count], vector[count:]
        strongest = set(np.argsort(-indicators, kind="stable")[: self.space.most].tolist())
        chosen = [at for at in range(count) if indicators[at] > 0 and at in strongest]
        found: list[Place] = []
        for position in chosen:
            place = self._series[position % len(self._series)]
            if found and len(network) and not place.follows(found[-1]):
                hop = self._compute_hop(network, found[-1], place, position / count)
                place = Place(place.donor, place.layer, hop=hop)
            found.append(place)
        return tuple(found)

    def _compute_hop(self, network: Floats, before: Place, after: Place, position: float) -> float:
        """The weight of a hop, from the numbers of both layers in the series and the position, each from 0 to 1."""
        first, bias, second = np.split(network, [3 * HIDDEN, 4 * HIDDEN])
        places = [self._series.index(Place(each.donor, each.layer)) / len(self._series) for each in (before, after)]
        hidden = np.tanh(first.reshape(HIDDEN, 3) @ np.array([*places, position]) + bias)
        return round(1 + REACH * float(np.tanh(hidden @ second[:-1] + second[-1])), 3)
