"""Orders of trials: by one value, and by Pareto dominance, against a plain definition of both."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stacker.search.ranking import find_front, measure_crowding, rank_values
from stacker.search.results import Values

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda each: tuple(map(float, each))), min_size=1)


def dominates(one: Values, other: Values) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def test_one_value_is_sorted_and_failures_come_last() -> None:
    """With one objective, the order is that of the values; missing and infinite ones come last."""
    values: list[Values | None] = [(3.0,), None, (1.0,), (float("inf"),), (2.0,)]
    assert rank_values(values) == [2, 4, 0, 1, 3]
    assert find_front(values) == [2]


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[Values]) -> None:
    """The front has exactly the points that no other one dominates."""
    expected = [at for at, each in enumerate(points) if not any(dominates(other, each) for other in points)]
    assert find_front(points) == expected


@given(POINTS)
def test_nothing_is_ranked_before_what_dominates_it(points: list[Values]) -> None:
    """A point comes after all points that dominate it."""
    order = rank_values(points)
    places = {at: place for place, at in enumerate(order)}
    assert sorted(order) == [*range(len(points))]
    for at, each in enumerate(points):
        assert all(places[other] < places[at] for other in range(len(points)) if dominates(points[other], each))


def test_crowding_of_a_line() -> None:
    """The ends are infinitely lonely; a point between has the distance of its neighbours in each objective."""
    front = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
    assert measure_crowding(front).tolist() == [np.inf, 2.0, np.inf]
