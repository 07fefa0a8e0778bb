"""A tensor to compute as rounds of jobs: measured as often as its ops ask for, then made, each piece by any thread."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

from stacker.core.plan.memory import TILE, live_tiles, tile_elements
from stacker.core.plan.tasks import Compute
from stacker.core.values.expression import Blend
from stacker.run.compute.device import HOST, scratch_on
from stacker.run.compute.evaluate import Evaluation, Stretch, make, measure
from stacker.run.compute.scratch import Room, Scratch
from stacker.run.compute.sums import Tally
from stacker.run.work.schedule import Job
from stacker.run.work.workers import keep_freed_memory

PIECE = 16
"""Tiles that one job takes on: few enough for the largest tensor to be shared by all threads to its end."""
Consume = Callable[[int, memoryview], None]
"""Does something with the output bytes of a tensor from a byte of it on, before it returns."""


class WorkerScratch(threading.local):
    """The scratch of each thread, made when the thread first needs it, in which all of some tensors can be computed."""

    def __init__(self, computes: Iterable[Compute], device: str = HOST) -> None:
        self._room = reduce(operator.or_, map(room_for, computes), Room())
        self._make = scratch_on(device if self._room.slots else HOST)
        self._scratch: Scratch | None = None

    @property
    def scratch(self) -> Scratch:
        if self._scratch is None:
            keep_freed_memory()
            self._scratch = self._make(self._room)
        return self._scratch


def room_for(compute: Compute) -> Room:
    """The scratch that a tensor takes."""
    expression = compute.expression
    elements = max(TILE, tile_elements(expression, compute.row))
    return Room(live_tiles(expression), 8 if compute.wide else 4, elements)


def compute_rounds(evaluation: Evaluation, bench: WorkerScratch, deal: Consume) -> Iterator[Sequence[Job]]:
    """The jobs that end in `deal` having got every byte of the tensor, in any order."""
    elements = evaluation.compute.elements
    most = PIECE * evaluation.tile
    pieces = [(start, min(start + most, elements)) for start in range(0, elements, most)]
    for blend, number in evaluation.passes():
        tally = Tally()
        measuring = partial(_measure, evaluation, bench, blend, number, tally)
        yield [partial(measuring, *numbered) for numbered in enumerate(pieces)]
        evaluation.learn(blend, number, tally.total())
    yield [partial(_make, evaluation, bench, piece, deal) for piece in pieces]


def _measure(
    evaluation: Evaluation,
    bench: WorkerScratch,
    blend: Blend,
    number: int,
    tally: Tally,
    order: int,
    piece: tuple[int, int],
) -> None:
    numbers, total = [], None
    for stretch in _stretches(evaluation, bench, piece):
        found = measure(stretch, blend, number, total)
        if isinstance(found, list):
            numbers.append(found)
        else:
            total = found
    tally.add(order, numbers, None if total is None else bench.scratch.backend.to_numpy(total))


def _make(evaluation: Evaluation, bench: WorkerScratch, piece: tuple[int, int], deal: Consume) -> None:
    bits = evaluation.compute.dtype.bits
    for stretch in _stretches(evaluation, bench, piece):
        deal(stretch.start * bits // 8, make(stretch))


def _stretches(evaluation: Evaluation, bench: WorkerScratch, piece: tuple[int, int]) -> Iterator[Stretch]:
    scratch = bench.scratch
    for start in range(*piece, evaluation.tile):
        yield Stretch(evaluation, scratch, start, min(evaluation.tile, piece[1] - start))
