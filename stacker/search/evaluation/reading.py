"""Reads windows with a live stack: the mean loss of each window, and a race that stops bad candidates early."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stacker.errors import SpecError
from stacker.live.head import Head, find_head
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import Batch, make_batches, measure_losses, sum_passages
from stacker.measure.texts import Window
from stacker.search.ranking import Floats
from stacker.search.results import Trial

FIRST = 4
"""A race begins with one of FIRST windows, at least one of each text."""
FIELD = 3
"""How many candidates a generation must have before one is stopped."""


@dataclass(frozen=True, slots=True)
class Heat:
    """Consecutive windows that are read before the race decides: numbers [start, stop), as batches."""

    start: int
    stop: int
    batches: tuple[Batch, ...] = field(repr=False)


def make_heats(windows: Sequence[Window], texts: int, batch: int) -> tuple[Heat, ...]:
    """The windows of a generation in two heats, the first with equally many of each text; `batch` is in tokens."""
    first = min(len(windows), max(texts, len(windows) // FIRST // texts * texts))
    bounds = (0, first, len(windows))
    return tuple(
        Heat(start, stop, tuple(make_batches(windows[start:stop], batch)))
        for start, stop in itertools.pairwise(bounds)
        if start < stop
    )


def read_heat(head: Head, heat: Heat) -> Floats:
    """The mean loss of each window of a heat, in nats a token; SpecError if one is infinite or not a number."""
    losses = measure_losses(head, heat.batches)
    counts = sum_passages(losses.new_ones(len(losses)), _number(heat), heat.stop - heat.start)
    found: Floats = (sum_passages(losses, _number(heat), heat.stop - heat.start) / counts).numpy()
    if not np.isfinite(found).all():
        raise SpecError.of("predicts no finite probabilities")
    return found


def _number(heat: Heat) -> list[Batch]:
    """The batches, with their passages counted from the start of the heat."""
    return [Batch(each.tokens, each.rows, each.targets, each.passages - heat.start) for each in heat.batches]


def read_windows(live: LiveStack, heats: Sequence[Heat]) -> Floats:
    """The mean loss of each window of all heats."""
    head = find_head(live)
    return np.concatenate([read_heat(head, heat) for heat in heats])


def is_behind(first: float, earlier: Sequence[Trial]) -> bool:
    """Whether a candidate stops after its first heat, because it is worse there than half of those before it.

    The median stopping rule of Golovin et al. 2017, Google Vizier, section 3.1; the first FIELD always go on.
    """
    return is_late(first, [trial.measured.first for trial in earlier if trial.measured.first is not None])


def is_late(first: float, firsts: Sequence[float]) -> bool:
    """Whether the value `first` of a first heat is worse than half of those before it; False if those are few."""
    return len(firsts) >= FIELD and first > statistics.median(firsts)
