"""Statistics of searches: paired intervals over the passages of several texts, and what chance alone would show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stacker.measure.intervals import FEWEST, LEVEL, RESAMPLES, SEED
from stacker.measure.results import Estimate
from stacker.search.ranking import Floats
from stacker.search.results import Luck, Trial

DRAWS = 20_000


def average_texts(texts: Sequence[Floats]) -> tuple[float, float | None]:
    """The mean of the texts' means, and its standard error over passages; None with a single passage in a text."""
    mean = float(np.mean([each.mean() for each in texts]))
    if any(len(each) < 2 for each in texts):
        return mean, None
    variance = sum(float(each.var(ddof=1)) / len(each) for each in texts)
    return mean, float(np.sqrt(variance)) / len(texts)


def estimate_texts(texts: Sequence[Floats], level: float = LEVEL) -> Estimate:
    """The mean of the texts' means with its interval: a bootstrap that draws passages of each text by themselves.

    Texts are what was asked about, and passages a sample of them: so only the passages vary.
    """
    count = sum(map(len, texts))
    value, error = average_texts(texts)
    if min(map(len, texts)) < FEWEST or error is None:
        return Estimate(value, count)
    source = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    for each in texts:
        drawn = source.integers(len(each), size=(RESAMPLES, len(each)))
        means += each[drawn].mean(axis=1) / len(texts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, count, float(low), float(high))


def judge_luck(trials: Sequence[Trial]) -> Luck | None:
    """What the best of as many candidates without effect would show; None if no trial has a standard error.

    Each trial's value is replaced by a normal deviate with that trial's own standard error, or, if that is smaller,
    with the median of those that read all passages: a ruined stack has a large error, which one without effect has not.
    Trials on equal passages are not independent, so that chance shows somewhat less than this.
    """
    measured = [trial for trial in trials if trial.values is not None and trial.measured.error is not None]
    if not measured:
        return None
    errors = np.array([trial.measured.error for trial in measured])
    passages = np.array([trial.measured.passages for trial in measured])
    errors = np.minimum(errors, np.median(errors[passages == passages.max()]))
    best = min(trial.values[0] for trial in measured if trial.values)
    usual, rare = np.quantile(_draw_lowest(errors), (0.5, 0.05))
    return Luck(len(errors), float(usual), float(rare), best)


def _draw_lowest(errors: Floats) -> Floats:
    """The lowest of normal deviates with these standard errors, DRAWS times."""
    source = np.random.default_rng(SEED)
    step = max(1, 2_000_000 // len(errors))
    counts = [min(step, DRAWS - at) for at in range(0, DRAWS, step)]
    return np.concatenate([(source.standard_normal((count, len(errors))) * errors).min(axis=1) for count in counts])
