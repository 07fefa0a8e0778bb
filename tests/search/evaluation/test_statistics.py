"""Intervals and luck: against numpy's own means, errors and order statistics."""

from __future__ import annotations

import numpy as np
import pytest

from stacker.search.evaluation.judging import choose_winner, compare_losses, make_report, name_texts
from stacker.search.evaluation.statistics import average_texts, estimate_texts, judge_luck
from stacker.search.results import Losses, Measured, Proposal, Trial

SOURCE = np.random.default_rng(0)


def trial(number: int, value: float, error: float | None) -> Trial:
    return Trial(number, "x", 0, Proposal(number, ""), Measured((value,), error, passages=32))


def losses(name: str, *texts: np.ndarray) -> Losses:
    return Losses("final", name, name, ("one", "two"), tuple(tuple(map(float, each)) for each in texts))


def test_texts_count_alike() -> None:
    """The mean is that of the texts' means, however many passages each has, with the error of a stratified mean."""
    one, two = SOURCE.normal(1, 1, 10), SOURCE.normal(3, 2, 40)
    mean, error = average_texts([one, two])
    assert np.isclose(mean, (one.mean() + two.mean()) / 2)
    assert error is not None
    assert np.isclose(error, np.sqrt(one.var(ddof=1) / 10 + two.var(ddof=1) / 40) / 2)
    assert average_texts([one[:1], two])[1] is None


def test_intervals_are_those_of_the_normal_approximation() -> None:
    """With many passages, a percentile interval is close to the mean ± 1.96 standard errors."""
    texts = [SOURCE.normal(0.02, 0.1, 400), SOURCE.normal(-0.01, 0.2, 400)]
    found = estimate_texts(texts)
    mean, error = average_texts(texts)
    assert error is not None
    assert found.low is not None
    assert found.high is not None
    assert np.allclose([found.low, found.high], [mean - 1.96 * error, mean + 1.96 * error], atol=0.06 * error)


def test_differences_between_texts_do_not_widen_the_interval() -> None:
    """Texts that differ in their means but not within have a narrow interval."""
    found = estimate_texts([np.full(10, 1.0), np.full(10, 3.0)])
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_few_passages_have_no_interval() -> None:
    """With five passages of a text there is no interval, and so no verdict."""
    (found,) = compare_losses(losses("a", np.zeros(5), np.zeros(5)), [losses("b", np.ones(5), np.ones(5))])
    assert found.difference.low is None
    assert found.verdict == "no difference"


def test_verdicts_are_paired() -> None:
    """A small gain on every passage is better, though the passages differ far more from each other."""
    hard = SOURCE.normal(3, 1, 30)
    (found,) = compare_losses(losses("a", hard - 0.01, hard - 0.01), [losses("b", hard, hard)])
    assert found.verdict == "better"
    assert np.isclose(found.difference.value, -0.01)
    (found,) = compare_losses(losses("a", hard + 0.01, hard), [losses("b", hard, hard)])
    assert found.verdict == "worse"
    (found,) = compare_losses(losses("a", hard[::-1], hard), [losses("b", hard, hard)])
    assert found.verdict == "no difference"


@pytest.mark.parametrize("count", [1, 10, 200])
def test_luck_is_the_largest_of_so_many_deviates(count: int) -> None:
    """The median of the maximum of n values of Student's t solves F(x)ⁿ = 1/2."""
    luck = judge_luck([trial(number, -0.1, 0.02) for number in range(count)])
    assert luck is not None
    draws = np.random.default_rng(7).standard_t(31, 400_000)
    assert np.isclose(luck.usual, np.quantile(draws, 0.5 ** (1 / count)), atol=0.05)
    assert luck.rare > luck.usual
    assert luck.count == count
    assert np.isclose(luck.best, 5)


def test_ruined_stacks_are_not_lucky() -> None:
    """The large errors of stacks that were stopped early, or that are ruined, do not count."""
    good = [trial(number, -0.1, 0.02) for number in range(20)]
    ruined = [trial(number, 5.0, 0.9) for number in range(20, 30)]
    stopped = Trial(30, "x", 0, Proposal(30, ""), Measured((0.1,), 0.5, passages=0))
    expected = judge_luck([trial(number, -0.1, 0.02) for number in range(31)])
    assert judge_luck([*good, *ruined, stopped]) == expected


def test_luck_needs_errors() -> None:
    """Without standard errors, nothing is said about luck."""
    assert judge_luck([trial(0, 1.0, None)]) is None


def test_the_report_counts_everything() -> None:
    """A report has the winner's perplexities, comparisons and counts of trials."""
    trials = [trial(0, -0.1, 0.1), Trial(1, "x", 0, Proposal(1, ""), Measured(None, problem="no"), 2.0)]
    winner = losses("w", np.full(8, 2.0), np.full(8, 3.0))
    report = make_report("mean", winner, [losses("b", np.full(8, 2.5), np.full(8, 3.0))], trials)
    assert dict(report.perplexities) == pytest.approx({"one": np.exp(2), "two": np.exp(3)})
    assert (report.tried, report.failed, report.seconds, report.passages) == (2, 1, 2.0, 16)
    assert report.comparisons[0].verdict == "better"
    assert choose_winner([losses("b", np.ones(3), np.ones(3)), winner]).name == "b"


def test_texts_have_short_names() -> None:
    """Texts are named by their files' stems, and by their paths if two stems are equal."""
    assert name_texts(["x/code.py", "prose.txt"]) == {"x/code.py": "code", "prose.txt": "prose"}
    assert name_texts(["x/a.txt", "y/a.txt"]) == {"x/a.txt": "x/a.txt", "y/a.txt": "y/a.txt"}
