"""Searches variables with CMA-ES: continuous, integer and categorical ones at once.

The algorithm is CatCMA with margin (Hamano et al. 2025, arXiv 2504.07884) of the package cmaes. Continuous and integer
variables are scaled to [0, 1]. It is told ranks instead of losses, because the passages of each generation differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stacker.search.ranking import rank_values
from stacker.search.requirements import import_package
from stacker.search.results import Finalist, Proposal, Trial
from stacker.search.spaces.variables import Assignment, Value, Variable, VariableSpace

SIGMA = 1 / 6
"""The standard deviation at the start, as a share of each range: Akiba et al. 2024 (arXiv 2403.13187)."""
FAVOUR = 0.5
"""The probability of a word's start value at the start, beyond its share of the rest."""


@dataclass
class Cma:
    """CMA-ES from a point; its finalist is the mean of the distribution, because the best points are partly luck."""

    space: VariableSpace
    start: Assignment
    seed: int
    population: int | None = None
    _optimizer: Any = field(default=None, repr=False)
    _asked: list[Any] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Set up the distribution."""
        kinds = _divide(self.space.variables)
        self._real, self._steps, self._words = kinds
        gaussian = (*self._real, *self._steps)
        mean = np.array([each.share_of(self.start[each.name]) for each in gaussian])
        self._optimizer = import_package("cmaes").CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._real) or None,
            z_space=[[*np.linspace(0, 1, len(each.choices))] for each in self._steps] or None,
            c_space=[len(each.choices) for each in self._words] or None,
            population_size=self.population,
            mean=mean if gaussian else None,
            sigma=1.0 if gaussian else None,
            cov=np.diag(np.full(len(gaussian), SIGMA**2)) if gaussian else None,
            cat_param=self._favour_start() if self._words else None,
            seed=self.seed,
        )

    def _favour_start(self) -> np.ndarray:
        widest = max(len(each.choices) for each in self._words)
        table = np.zeros((len(self._words), widest))
        for row, word in zip(table, self._words, strict=True):
            row[: len(word.choices)] = (1 - FAVOUR) / len(word.choices)
            row[word.choices.index(self.start[word.name])] += FAVOUR
        return table

    def ask(self) -> Sequence[Proposal]:
        """A population drawn from the distribution."""
        self._asked = [self._optimizer.ask() for _ in range(self._optimizer.population_size)]
        generation = self._optimizer.generation + 1
        return tuple(Proposal(self._read(each.x, each.z, each.c), f"draw {generation}") for each in self._asked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Move the distribution towards the better half; trials that failed count as the worst."""
        order = rank_values([trial.values for trial in trials])
        self._optimizer.tell([(self._asked[at], float(rank)) for rank, at in enumerate(order)])

    def list_finalists(self) -> Sequence[Finalist]:
        """The mean of the distribution, with the likeliest words."""
        mean = getattr(self._optimizer, "_mean", np.empty(0))
        reals, steps = np.split(mean, [len(self._real)])
        words = self._optimizer._q if self._words else None
        return (Finalist("cma", "the mean of CMA-ES", self._read(reals, steps, words)),)

    def _read(self, reals: Any, steps: Any, words: Any) -> dict[str, Value]:
        """The assignment of shares of the ranges, and of a weight for each word, of which the largest counts."""
        found: dict[str, Value] = {}
        for variables, shares in ((self._real, reals), (self._steps, steps)):
            found |= {
                each.name: each.at(float(share))
                for each, share in zip(variables, [] if shares is None else shares, strict=True)
            }
        for each, row in zip(self._words, [] if words is None else words, strict=True):
            found[each.name] = each.choices[int(np.argmax(row[: len(each.choices)]))]
        return {each.name: found[each.name] for each in self.space.variables}


def _divide(variables: Sequence[Variable]) -> tuple[tuple[Variable, ...], ...]:
    """The continuous variables, those with ordered choices, and the others."""
    real = tuple(each for each in variables if each.is_continuous)
    steps = tuple(each for each in variables if not each.is_continuous and each.is_ordered)
    return real, steps, tuple(each for each in variables if not each.is_continuous and not each.is_ordered)
