"""Measures the loss of every token of a text, in nats, with the logits computed a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from stacker.live.head import Head, Rows
from stacker.measure.texts import Window
from stacker.progress import Watch, ignore_watch

ROWS = 32
"""How many rows of logits the softmax takes at a time: their copies in fp32 stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that a model reads together: `tokens` [windows, tokens], padded on the right with the token 0.

    Of the flattened states, `rows` are those that predict a scored token: `targets` are these tokens, and `passages`
    the numbers of the passages (or answers) they belong to. Padding changes nothing, because no token sees those
    behind it.
    """

    tokens: torch.Tensor
    rows: torch.Tensor
    targets: torch.Tensor
    passages: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(each.to(device) for each in (self.tokens, self.rows, self.targets, self.passages)))


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens that a model reads at once, and predictions that count.

    Each is a triple: the index of the token behind which it is made, the predicted token, and the number of what the
    prediction belongs to.
    """

    tokens: tuple[int, ...]
    predictions: tuple[tuple[int, int, int], ...]


def make_batches(windows: Sequence[Window], most: int = 2048) -> Iterator[Batch]:
    """Batches of consecutive windows, of at most `most` tokens with the padding, but at least one window each."""
    return batch_readings([_read_window(window) for window in windows], most)


def _read_window(window: Window) -> Reading:
    scored = range(window.counted, len(window.tokens))
    return Reading(window.tokens, tuple((at - 1, window.tokens[at], window.passage) for at in scored))


def batch_readings(readings: Sequence[Reading], most: int = 2048) -> Iterator[Batch]:
    """Batches of consecutive readings, of at most `most` tokens with the padding, but at least one reading each."""
    batch: list[Reading] = []
    width = 0
    for reading in readings:
        wider = max(width, len(reading.tokens))
        if batch and wider * (len(batch) + 1) > most:
            yield _join_readings(batch)
            batch, wider = [], len(reading.tokens)
        batch.append(reading)
        width = wider
    if batch:
        yield _join_readings(batch)


def _join_readings(readings: Sequence[Reading]) -> Batch:
    width = max(len(reading.tokens) for reading in readings)
    tokens = torch.zeros((len(readings), width), dtype=torch.long)
    counted: list[tuple[int, int, int]] = []
    for number, reading in enumerate(readings):
        tokens[number, : len(reading.tokens)] = torch.tensor(reading.tokens)
        counted += ((number * width + at, target, owner) for at, target, owner in reading.predictions)
    return Batch(tokens, *torch.tensor(counted).unbind(1))


def compute_losses(head: Head, rows: Rows, targets: torch.Tensor) -> torch.Tensor:
    """The loss of each target, −ln of its probability, in fp32; `rows` are the states that predict the targets.

    Logits are computed a few rows at a time, in the type of the model, and the softmax in fp32.
    """
    pieces = zip(torch.split(rows, head.piece), torch.split(targets, head.piece), strict=True)
    losses = [_compare_logits(head.compute_logits(some), wanted) for some, wanted in pieces]
    return torch.cat(losses) if losses else torch.empty(0)


def _compare_logits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    pieces = zip(torch.split(logits, ROWS), torch.split(targets, ROWS), strict=True)
    return torch.cat([cross_entropy(some.float(), wanted, reduction="none") for some, wanted in pieces])


def measure_losses(head: Head, batches: Sequence[Batch], watch: Watch = ignore_watch) -> torch.Tensor:
    """The losses of all scored tokens of the batches, in order: fp32, on the processor.

    `watch` is called with the tokens scored and to score.
    """
    return torch.cat([found for _, _, found in map_batches(head, batches, compute_losses, watch)])


Measure = Callable[[Head, Rows, torch.Tensor], torch.Tensor]
"""A function of a head, states that enter it and the tokens that come next; it returns a row for each."""


def map_batches(
    head: Head, batches: Sequence[Batch], measure: Measure, watch: Watch = ignore_watch
) -> Iterator[tuple[Batch, Rows, torch.Tensor]]:
    """Take batches through the model; yields each with the states of its scored tokens and what `measure` says."""
    total, done = sum(len(batch.targets) for batch in batches), 0
    device = head.live.model.device
    for batch in batches:
        here = batch.to(device)
        rows = head.read_rows(here.tokens)[here.rows]
        found = measure(head, rows, here.targets).cpu()
        done += len(batch.targets)
        watch(done, total)
        yield batch, rows, found


def sum_passages(losses: torch.Tensor, batches: Sequence[Batch], count: int) -> torch.Tensor:
    """The sums of losses [tokens] of the scored tokens of each of `count` passages, in fp64: [passages]."""
    passages = torch.cat([batch.passages for batch in batches])
    return torch.zeros(count, dtype=torch.float64).index_add_(0, passages, losses.double())
