"""Orders trials from the best to the worst: by one value, or by Pareto dominance as NSGA-II does.

Deb et al. 2002, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, section III.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stacker.search.requirements import import_package
from stacker.search.results import Values

Floats = NDArray[np.float64]


def rank_values(values: Sequence[Values | None]) -> list[int]:
    """The indices of values from the best to the worst; those that are None or not finite come last, in their order.

    Several objectives are ordered by Pareto rank, and within a rank by crowding distance, the lonely first.
    """
    good = [at for at, each in enumerate(values) if each is not None and bool(np.isfinite(each).all())]
    bad = [at for at in range(len(values)) if at not in good]
    if not good:
        return bad
    table = np.array([values[at] for at in good], dtype=np.float64)
    order = np.argsort(table[:, 0], kind="stable") if table.shape[1] == 1 else _sort_fronts(table)
    return [good[at] for at in order] + bad


def find_front(values: Sequence[Values | None]) -> list[int]:
    """The indices of the values that no other value dominates: with one objective, that of the lowest value."""
    order = rank_values(values)
    good = [at for at in order if (each := values[at]) is not None and bool(np.isfinite(each).all())]
    if not good or len(values[good[0]] or ()) == 1:
        return good[:1]
    ranks = _rank_fronts(np.array([values[at] for at in good], dtype=np.float64))
    return sorted(at for at, rank in zip(good, ranks, strict=True) if rank == 0)


def _rank_fronts(table: Floats) -> NDArray[np.int64]:
    return np.asarray(import_package("moocore").pareto_rank(table), dtype=np.int64)


def _sort_fronts(table: Floats) -> NDArray[np.int64]:
    ranks = _rank_fronts(table)
    crowding = np.zeros(len(table))
    for rank in set(ranks.tolist()):
        crowding[ranks == rank] = measure_crowding(table[ranks == rank])
    return np.lexsort((-crowding, ranks))


def measure_crowding(front: Floats) -> Floats:
    """The crowding distance of each point of a front [points, objectives]; infinite for the ends of each objective.

    It is the sum over objectives of the distance between a point's two neighbours, as a share of the front's width.
    """
    distance = np.zeros(len(front))
    for column in front.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        width = ordered[-1] - ordered[0]
        distance[order[[0, -1]]] = np.inf
        if width > 0:
            distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / width
    return distance
