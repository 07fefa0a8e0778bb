"""Predicts the value of an order of layers from how often it uses each layer, to choose which children to measure.

RYS used such counts with gradient boosting; a ridge regression needs fewer trials. It is only trusted while it orders
trials that it has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stacker.search.ranking import Floats
from stacker.search.spaces.arrangements import Arrangement

RIDGE = 1.0
LEAST = 24
"""How many trials it takes before a prediction is made."""
TRUSTED = 0.3
"""The rank correlation with left-out trials from which predictions are used."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A linear model of the value over counts of layers; `agreement` is its rank correlation with left-out trials."""

    weights: Floats
    agreement: float

    @property
    def is_trusted(self) -> bool:
        """Whether the predictions order trials well enough to be used."""
        return self.agreement >= TRUSTED

    def predict(self, features: Floats) -> Floats:
        """The expected values of orders whose counts are `features` [orders, features]."""
        found: Floats = _extend(features) @ self.weights
        return found


def count_uses(places: Arrangement, depths: Mapping[str, int]) -> Floats:
    """How often each layer of each donor is used, then the number of junctions; a blend counts in parts."""
    starts = dict(zip(depths, np.cumsum([0, *depths.values()]), strict=False))
    counts = np.zeros(sum(depths.values()) + 1)
    for each in places:
        own = each.damp * (1 - each.share) if each.other else each.damp
        counts[starts[each.donor] + each.layer] += own
        if each.other:
            counts[starts[each.other] + each.layer] += each.damp * each.share
    counts[-1] = sum(not after.follows(before) for before, after in itertools.pairwise(places))
    return counts


def fit_surrogate(features: Floats, values: Sequence[float]) -> Surrogate | None:
    """A model of the values of orders with the counts `features`; None if there are too few.

    Values are clipped at their upper quartile fence, so that ruined stacks do not decide alone. The left-out
    predictions of a ridge regression follow from its hat matrix H: (ŷ − h y) / (1 − h).
    """
    if len(values) < LEAST:
        return None
    low, high = np.quantile(values, (0.25, 0.75))
    wanted = np.minimum(np.asarray(values, dtype=np.float64), high + 1.5 * (high - low))
    table = _extend(features)
    penalty = RIDGE * np.eye(table.shape[1])
    penalty[0, 0] = 0.0
    solved = np.linalg.solve(table.T @ table + penalty, table.T)
    hat = np.einsum("ij,ji->i", table, solved)
    predicted = table @ (solved @ wanted)
    left_out = (predicted - hat * wanted) / np.maximum(1 - hat, 1e-9)
    return Surrogate(solved @ wanted, correlate_ranks(left_out, wanted))


def _extend(features: Floats) -> Floats:
    return np.column_stack([np.ones(len(features)), features])


def correlate_ranks(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of two lists; 0 if all values of one list are equal. Equal values share a rank."""
    ranks = [np.argsort(np.argsort(each, kind="stable"), kind="stable").astype(float) for each in (one, other)]
    if any(np.ptp(each) == 0 for each in (one, other)):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
