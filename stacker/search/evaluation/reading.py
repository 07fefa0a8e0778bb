"""Reads windows with a live stack: the mean loss of each window, and a race that stops bad candidates early."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from stacker.errors import SpecError
from stacker.live.head import Head, find_head
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import Batch, make_batches, measure_losses, sum_passages
from stacker.measure.texts import Window
from stacker.search.ranking import Floats

HEATS = (4, 2, 1)
"""A race decides when one of 4 windows is read and when one of 2 is, but not before each text has one."""
FIELD = 3
"""How many candidates must have been in a heat before one is stopped for being worse."""
RUINED = 0.1
"""A candidate that loses more, in nats a token, on each window of the first heat is stopped in any case."""
Enter = Callable[[Batch], AbstractContextManager[None]]
"""Surrounds the reading of a batch; may let layers of the model be skipped."""


def run_all(_batch: Batch) -> AbstractContextManager[None]:
    """Let a model read a batch with all its layers."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Heat:
    """Consecutive windows that are read before the race decides: numbers [start, stop), as batches."""

    start: int
    stop: int
    batches: tuple[Batch, ...] = field(repr=False)


def make_heats(windows: Sequence[Window], texts: int, batch: int) -> tuple[Heat, ...]:
    """The windows of a generation in heats, each with equally many of each text; `batch` is in tokens."""
    stops = [min(len(windows), max(texts, len(windows) // part // texts * texts)) for part in HEATS[:-1]]
    bounds = sorted({0, *stops, len(windows)})
    return tuple(
        Heat(start, stop, tuple(make_batches(windows[start:stop], batch))) for start, stop in itertools.pairwise(bounds)
    )


def read_heat(head: Head, heat: Heat, enter: Enter = run_all) -> Floats:
    """The mean loss of each window of a heat, in nats a token; SpecError if one is infinite or not a number."""
    read = []
    for batch in heat.batches:
        with enter(batch):
            read.append(measure_losses(head, (batch,)))
    losses = torch.cat(read)
    counts = sum_passages(losses.new_ones(len(losses)), _number(heat), heat.stop - heat.start)
    found: Floats = (sum_passages(losses, _number(heat), heat.stop - heat.start) / counts).numpy()
    if not np.isfinite(found).all():
        raise SpecError.of("predicts no finite probabilities")
    return found


def _number(heat: Heat) -> list[Batch]:
    """The batches, with their passages counted from the start of the heat."""
    return [Batch(each.tokens, each.rows, each.targets, each.passages - heat.start) for each in heat.batches]


def read_windows(live: LiveStack, heats: Sequence[Heat], enter: Enter = run_all) -> Floats:
    """The mean loss of each window of all heats."""
    head = find_head(live)
    return np.concatenate([read_heat(head, heat, enter) for heat in heats])


def is_ruined(changes: Floats) -> bool:
    """Whether a candidate is not worth more windows, by the changes of the losses of the first heat."""
    return bool((changes > RUINED).all())


def is_behind(value: float, others: Sequence[float]) -> bool:
    """Whether a candidate stops after a heat, because it is worse there than half of those before it.

    The median stopping rule of Golovin et al. 2017, Google Vizier, section 3.1; the first FIELD always go on.
    """
    return len(others) >= FIELD and value > statistics.median(others)
