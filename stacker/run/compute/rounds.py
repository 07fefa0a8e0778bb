"""A tensor to compute as rounds of jobs: measured as often as its ops ask for, then made, each piece by any thread."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

from stacker.core.plan.memory import TILE, live_tiles, tile_elements
from stacker.core.plan.tasks import Compute
from stacker.core.values.expression import Blend
from stacker.run.compute.device import HOST, choose_scratch
from stacker.run.compute.evaluate import Evaluation, TileRange, make, measure
from stacker.run.compute.scratch import Scratch, ScratchSize
from stacker.run.compute.sums import Accumulator
from stacker.run.work.schedule import Job
from stacker.run.work.workers import keep_freed_memory

TILES_PER_JOB = 16
"""Tiles that one job takes on: few enough for the largest tensor to be shared by all threads to its end."""
Consume = Callable[[int, memoryview], None]
"""Does something with the output bytes of a tensor from a byte of it on, before it returns."""


class WorkerScratch(threading.local):
    """The scratch of each thread, made when the thread first needs it, in which all of some tensors can be computed."""

    def __init__(self, computes: Iterable[Compute], device: str = HOST) -> None:
        self._room = reduce(operator.or_, map(find_scratch_size, computes), ScratchSize())
        self._make = choose_scratch(device if self._room.slots else HOST)
        self._scratch: Scratch | None = None

    @property
    def scratch(self) -> Scratch:
        if self._scratch is None:
            keep_freed_memory()
            self._scratch = self._make(self._room)
        return self._scratch


def find_scratch_size(compute: Compute) -> ScratchSize:
    """The scratch that a tensor takes."""
    expression = compute.expression
    elements = max(TILE, tile_elements(expression, compute.row))
    return ScratchSize(live_tiles(expression), 8 if compute.wide else 4, elements)


def compute_rounds(evaluation: Evaluation, scratch: WorkerScratch, consume: Consume) -> Iterator[Sequence[Job]]:
    """The jobs that end in `deal` having got every byte of the tensor, in any order."""
    elements = evaluation.compute.elements
    most = TILES_PER_JOB * evaluation.tile
    pieces = [(start, min(start + most, elements)) for start in range(0, elements, most)]
    for blend, number in evaluation.passes():
        accumulator = Accumulator()
        measuring = partial(_measure, evaluation, scratch, blend, number, accumulator)
        yield [partial(measuring, *numbered) for numbered in enumerate(pieces)]
        evaluation.finish_pass(blend, number, accumulator.total())
    yield [partial(_make, evaluation, scratch, piece, consume) for piece in pieces]


def _measure(
    evaluation: Evaluation,
    scratch: WorkerScratch,
    blend: Blend,
    number: int,
    accumulator: Accumulator,
    order: int,
    piece: tuple[int, int],
) -> None:
    numbers, total = [], None
    for tile_range in _tile_ranges(evaluation, scratch, piece):
        found = measure(tile_range, blend, number, total)
        if isinstance(found, list):
            numbers.append(found)
        else:
            total = found
    accumulator.add(order, numbers, None if total is None else scratch.scratch.on.on_host(total))


def _make(evaluation: Evaluation, scratch: WorkerScratch, piece: tuple[int, int], consume: Consume) -> None:
    bits = evaluation.compute.dtype.bits
    for tile_range in _tile_ranges(evaluation, scratch, piece):
        consume(tile_range.start * bits // 8, make(tile_range))


def _tile_ranges(evaluation: Evaluation, scratch: WorkerScratch, piece: tuple[int, int]) -> Iterator[TileRange]:
    for start in range(*piece, evaluation.tile):
        yield TileRange(evaluation, scratch.scratch, start, min(evaluation.tile, piece[1] - start))
