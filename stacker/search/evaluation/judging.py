"""Judges a search from its log: the winner among finalists, and what the final part says of it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stacker.search.evaluation.statistics import estimate_texts, judge_luck
from stacker.search.results import Comparison, Losses, Report, Trial


def choose_winner(found: Sequence[Losses]) -> Losses:
    """The losses of the best finalist on the choice part; of equal ones the first."""
    return min(found, key=lambda losses: losses.value)


def compare_losses(winner: Losses, others: Sequence[Losses]) -> tuple[Comparison, ...]:
    """The winner against each other stack on the same passages, with paired intervals."""
    return tuple(_compare(winner, other) for other in others)


def _compare(winner: Losses, other: Losses) -> Comparison:
    differences = [np.array(own) - np.array(theirs) for own, theirs in zip(winner.losses, other.losses, strict=True)]
    texts = zip(winner.texts, ([each] for each in differences), strict=True)
    return Comparison(
        other.name,
        other.value,
        estimate_texts(differences),
        tuple((name, estimate_texts(each)) for name, each in texts),
    )


def make_report(how: str, winner: Losses, others: Sequence[Losses], trials: Sequence[Trial]) -> Report:
    """What the final part says about the winner."""
    perplexities = {
        text: math.exp(sum(each) / len(each)) for text, each in zip(winner.texts, winner.losses, strict=True)
    }
    return Report(
        how=how,
        plan=winner.plan,
        value=winner.value,
        perplexities=tuple(perplexities.items()),
        comparisons=compare_losses(winner, others),
        luck=judge_luck(trials),
        tried=len(trials),
        failed=sum(trial.values is None for trial in trials),
        seconds=sum(trial.seconds for trial in trials),
        passages=sum(map(len, winner.losses)),
    )


def name_texts(paths: Sequence[str]) -> Mapping[str, str]:
    """A short name for each path: the file's name without its ending, or the path if two names are equal."""
    stems = [path.rpartition("/")[2].partition(".")[0] or path for path in paths]
    return {path: stem if stems.count(stem) == 1 else path for path, stem in zip(paths, stems, strict=True)}
