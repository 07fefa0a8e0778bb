"""Puts intervals around changes of loss, and says how good the best of many edits would look by chance alone.

The unit is the passage: all edits are measured on the same ones, so differences are paired, and passages are drawn or
have their signs turned for all edits at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stacker.errors import SpecError
from stacker.measure.intervals import FEWEST, resample
from stacker.measure.probes.edits import Edit
from stacker.measure.probes.results import Chance, Change, Interval

Floats = NDArray[np.float64]
DRAWS = 5000


def check_passages(count: int) -> None:
    """Raise a SpecError if there are too few passages for intervals."""
    if count < FEWEST:
        message = f"the text has {count} passages that are long enough, too few for intervals"
        raise SpecError.of(message, f"give at least {FEWEST}: a longer text, more --passages, or a smaller --window")


def estimate_changes(differences: Floats, tokens: Floats) -> tuple[Interval, ...]:
    """The change of loss of each edit, in nats a token, with its 95% interval from a paired bootstrap over passages.

    `differences` has the sum of the changes of loss [passages, edits], and `tokens` the number of scored tokens
    [passages].
    """
    means = differences.sum(axis=0) / tokens.sum()
    columns = zip(means, differences.T, strict=True)
    return tuple(Interval(float(mean), *resample(each, tokens)) for mean, each in columns)


def judge_changes(
    edits: Sequence[Edit], differences: Floats, tokens: Floats
) -> tuple[tuple[Change, ...], Chance | None]:
    """The changes of all edits with both intervals, and what chance alone would give.

    Edits whose loss is not finite get infinite intervals and are left out of the judgement; without other edits, there
    is no Chance.
    """
    finite = np.atleast_1d(np.isfinite(differences).all(axis=0))
    if not finite.any():
        return tuple(Change(edit, _BROKEN, _BROKEN) for edit in edits), None
    alone = iter(estimate_changes(differences[:, finite], tokens))
    residuals, means, errors = _standardise(differences[:, finite], tokens)
    nulls = _turn_signs(residuals)
    wide = float(np.quantile(np.abs(nulls).max(axis=1), 0.95))
    among = (
        Interval(*map(float, (mean, mean - wide * error, mean + wide * error)))
        for mean, error in zip(means, errors, strict=True)
    )
    changes = tuple(
        Change(edit, next(alone), next(among)) if good else Change(edit, _BROKEN, _BROKEN)
        for edit, good in zip(edits, finite, strict=True)
    )
    return changes, _describe_chance(nulls, means, errors, len(tokens))


def judge_luck(differences: Floats, tokens: Floats) -> Chance | None:
    """What chance alone would give for the best of several tries [passages, tries], as `judge_changes` says it."""
    finite = differences[:, np.isfinite(differences).all(axis=0)]
    if not finite.shape[1]:
        return None
    residuals, means, errors = _standardise(finite, tokens)
    return _describe_chance(_turn_signs(residuals), means, errors, len(tokens))


_BROKEN = Interval(float("inf"), float("inf"), float("inf"))


def _standardise(differences: Floats, tokens: Floats) -> tuple[Floats, Floats, Floats]:
    """The deviation of each passage from the mean change [passages, edits], the means, and their standard errors."""
    count = len(tokens)
    means = differences.sum(axis=0) / tokens.sum()
    residuals = (differences - tokens[:, None] * means) / tokens.mean()
    errors = np.sqrt((residuals**2).sum(axis=0) / (count * (count - 1)))
    return residuals, means, errors


def _turn_signs(residuals: Floats) -> Floats:
    """Changes in standard errors [draws, edits] if no edit changed anything, from random signs of the passages."""
    count = len(residuals)
    signs = np.random.default_rng(1).choice((-1.0, 1.0), (DRAWS, count))
    means = signs @ residuals / count
    spread = np.maximum((residuals**2).mean(axis=0) - means**2, 1e-12 * (residuals**2).mean(axis=0))
    errors = np.sqrt(spread / (count - 1))
    scaled: Floats = np.divide(means, errors, out=np.zeros_like(means), where=spread > 0)
    return scaled


def _describe_chance(nulls: Floats, means: Floats, errors: Floats, passages: int) -> Chance:
    luck = (-nulls).max(axis=1)
    usual, rare = np.quantile(luck, (0.5, 0.95))
    reached = np.divide(-means, errors, out=np.zeros_like(means), where=errors > 0)
    best = float(reached.max())
    probability = float((1 + (luck >= best).sum()) / (1 + len(luck)))
    return Chance(len(means), passages, float(usual), float(rare), best, probability)
