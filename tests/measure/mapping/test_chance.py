"""Intervals and the judgement on chance hold their promises on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stacker.errors import SpecError
from stacker.measure.mapping.chance import check_passages, estimate_changes, judge_changes, judge_luck
from stacker.measure.probes.edits import Edit, Way

Floats = NDArray[np.float64]


def edits_of(count: int) -> list[Edit]:
    return [Edit(Way.REPEAT, start, start + 1) for start in range(count)]


def draw(seed: int, passages: int = 16, edits: int = 60, shift: float = 0.0) -> tuple[Floats, Floats]:
    """Differences with the true mean `shift` a token for the first edit and 0 for all others, and tokens."""
    source = np.random.default_rng(seed)
    tokens = np.full(passages, 100.0)
    noise = source.normal(size=(passages, edits)) * source.uniform(1, 10, edits)
    noise[:, 0] += shift * 100
    return noise, tokens


def test_noise_is_called_chance() -> None:
    """Of forty maps in which nothing changes anything, about one in twenty is called more than chance."""
    called = 0
    for seed in range(40):
        _, chance = judge_changes(edits_of(60), *draw(seed))
        assert chance is not None
        called += chance.probability < 0.05
    assert called <= 6


def test_all_intervals_hold_at_once() -> None:
    """In at least nine of ten maps, the intervals of all sixty edits contain the truth; the plain ones do not."""
    together = alone = 0
    for seed in range(40):
        changes, _ = judge_changes(edits_of(60), *draw(seed))
        together += all(change.among.low <= 0 <= change.among.high for change in changes)
        alone += all(change.alone.low <= 0 <= change.alone.high for change in changes)
    assert together >= 36
    assert alone <= 4


def test_a_true_gain_is_found() -> None:
    """A gain of many standard errors is more than chance explains, and its interval as one of all excludes 0."""
    changes, chance = judge_changes(edits_of(60), *draw(3, shift=-0.5))
    assert chance is not None
    assert chance.probability < 0.01
    assert changes[0].among.is_gain
    assert not any(change.among.is_gain for change in changes[1:])


def test_tokens_weigh_passages() -> None:
    """The change is that of all tokens together, not the mean of the passages' means."""
    differences = np.array([[10.0], [0.0], [0.0], [0.0], [0.0], [0.0]])
    (interval,) = estimate_changes(differences, np.array([1.0, 9.0, 10.0, 10.0, 10.0, 10.0]))
    assert interval.mean == pytest.approx(0.2)


def test_losses_that_are_not_finite() -> None:
    """An edit with an infinite loss is infinitely bad; the others are judged without it."""
    differences, tokens = draw(0, edits=3)
    differences[2, 1] = np.inf
    changes, chance = judge_changes(edits_of(3), differences, tokens)
    expected, _ = judge_changes(edits_of(2), differences[:, [0, 2]], tokens)
    assert changes[1].alone.mean == np.inf
    assert [changes[0].alone, changes[2].alone] == [each.alone for each in expected]
    assert chance is not None
    assert chance.tries == 2
    assert judge_changes(edits_of(1), differences[:, 1:2], tokens)[1] is None


def test_too_few_passages() -> None:
    """Five passages are refused with what to do."""
    check_passages(6)
    with pytest.raises(SpecError, match="5 passages"):
        check_passages(5)


def test_luck_is_what_the_judgement_says() -> None:
    """The best of several tries is judged as the best of several edits is; tries that are not finite do not count."""
    source = np.random.default_rng(5)
    differences = source.normal(0.0, 1.0, (16, 6))
    tokens = np.full(16, 100.0)
    _, expected = judge_changes([Edit(Way.DROP, at, at + 1) for at in range(6)], differences, tokens)
    assert judge_luck(differences, tokens) == expected
    broken = np.column_stack([differences, np.full(16, np.inf)])
    assert judge_luck(broken, tokens) == expected
    assert judge_luck(broken[:, 6:], tokens) is None


def test_luck_of_equal_tries_and_of_a_true_gain() -> None:
    """A try that changes nothing is no gain; one that is better in every passage is no chance."""
    tokens = np.full(16, 100.0)
    nothing = judge_luck(np.zeros((16, 1)), tokens)
    assert nothing is not None
    assert (nothing.best, nothing.probability) == (0.0, 1.0)
    gain = judge_luck(np.random.default_rng(2).normal(-5.0, 1.0, (16, 1)), tokens)
    assert gain is not None
    assert gain.probability < 0.001
