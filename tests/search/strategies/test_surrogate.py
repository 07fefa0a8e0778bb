"""The surrogate: against a plain leave-one-out loop, and rank correlation."""

from __future__ import annotations

import numpy as np

from stacker.search.spaces.arrangements import Place, make_run
from stacker.search.strategies.surrogate import LEAST, RIDGE, correlate_ranks, count_uses, fit_surrogate


def test_uses_are_counted() -> None:
    """Each use of a layer counts, a blend in parts, and the last feature is the number of junctions."""
    places = (*make_run("a", 0, 2), Place("b", 1, other="a", share=0.25), Place("a", 1, damp=0.5))
    found = count_uses(places, {"a": 3, "b": 2})
    assert found.tolist() == [1, 1.75, 0, 0, 0.75, 2]


def test_few_trials_give_no_model() -> None:
    """Below LEAST trials, nothing is predicted."""
    assert fit_surrogate(np.zeros((LEAST - 1, 3)), [0.0] * (LEAST - 1)) is None


def test_left_out_predictions_are_those_of_a_loop() -> None:
    """The agreement is that of models that have not seen the trial."""
    source = np.random.default_rng(0)
    features = source.integers(0, 3, (40, 6)).astype(float)
    values = features @ source.normal(size=6) + 0.1 * source.normal(size=40)
    low, high = np.quantile(values, (0.25, 0.75))
    wanted = np.minimum(values, high + 1.5 * (high - low))
    table = np.column_stack([np.ones(40), features])
    penalty = RIDGE * np.eye(7)
    penalty[0, 0] = 0
    left_out = []
    for at in range(40):
        rest = np.arange(40) != at
        weights = np.linalg.solve(table[rest].T @ table[rest] + penalty, table[rest].T @ wanted[rest])
        left_out.append(table[at] @ weights)
    found = fit_surrogate(features, values.tolist())
    assert found is not None
    assert found.is_trusted
    assert np.isclose(found.agreement, correlate_ranks(np.array(left_out), wanted))


def test_noise_is_not_trusted() -> None:
    """A model of values that have nothing to do with the counts is not used."""
    source = np.random.default_rng(1)
    found = fit_surrogate(source.integers(0, 3, (60, 20)).astype(float), source.normal(size=60).tolist())
    assert found is not None
    assert not found.is_trusted


def test_equal_values_have_no_order() -> None:
    """Without differences, the correlation is 0."""
    assert correlate_ranks(np.ones(5), np.arange(5.0)) == 0
    assert np.isclose(correlate_ranks(np.arange(5.0), np.arange(5.0) ** 3), 1)
