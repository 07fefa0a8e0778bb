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

    Gains are counted in each trial's own standard error, so that a bad candidate, whose loss varies much from passage
    to passage, does not stand for the others. Chance is the best of as many deviates of Student's t as trials; the
    best trial is one of those that a race let read all passages. Trials that were measured on equal passages are
    not independent, so that chance shows somewhat less than this.
    """
    gains = [
        (-trial.values[0] / trial.measured.error, trial.measured.passages)
        for trial in trials
        if trial.values and trial.measured.error
    ]
    if not gains:
        return None
    most = max(passages for _, passages in gains)
    best = max(gain for gain, passages in gains if passages == most)
    source = np.random.default_rng(SEED)
    step = max(1, 2_000_000 // len(gains))
    sizes = (min(step, DRAWS - at) for at in range(0, DRAWS, step))
    chance = [source.standard_t(max(1, most - 1), (size, len(gains))).max(axis=1) for size in sizes]
    usual, rare = np.quantile(np.concatenate(chance), (0.5, 0.95))
    return Luck(len(gains), float(usual), float(rare), best)
