"""Computes a tensor in rounds of jobs: one round for each pass of its ops, then one for the output bytes.

A job computes a few tiles in the scratch memory of the thread that runs the job. The caller decides where the output
bytes are written.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

from stacker.core.plan.costs import TILE, choose_tile, count_live_tiles
from stacker.core.plan.tasks import Compute
from stacker.core.values.expression import Blend
from stacker.run.compute.device import HOST, choose_scratch
from stacker.run.compute.evaluate import compute_tile, measure_tile
from stacker.run.compute.evaluation import Evaluation, TileRange
from stacker.run.compute.scratch import Scratch, ScratchSize
from stacker.run.compute.sums import Accumulator
from stacker.run.work.schedule import Job
from stacker.run.work.workers import keep_freed_memory

TILES_PER_JOB = 16
"""How many tiles one job computes at most: few enough that all threads share a large tensor."""
Consume = Callable[[int, memoryview], None]
"""A function of an offset (bytes) in the output tensor and the bytes from that offset on.

It must not keep the bytes, because their memory is overwritten afterwards.
"""


class WorkerScratch(threading.local):
    """Scratch memory for each thread, large enough to compute any of the tensors that the work includes.

    A thread's memory is allocated when the thread first uses it.
    """

    def __init__(self, computes: Iterable[Compute], device: str = HOST) -> None:
        self._size = reduce(operator.or_, map(find_scratch_size, computes), ScratchSize())
        self._make = choose_scratch(device if self._size.slots else HOST)
        self._scratch: Scratch | None = None

    @property
    def scratch(self) -> Scratch:
        """The scratch memory of the calling thread."""
        if self._scratch is None:
            keep_freed_memory()
            self._scratch = self._make(self._size)
        return self._scratch


def find_scratch_size(compute: Compute) -> ScratchSize:
    """How much scratch memory is needed to compute a tensor."""
    expression = compute.expression
    elements = max(TILE, choose_tile(expression, compute.row))
    return ScratchSize(count_live_tiles(expression), 8 if compute.wide else 4, elements)


def compute_rounds(evaluation: Evaluation, worker_scratch: WorkerScratch, consume: Consume) -> Iterator[Sequence[Job]]:
    """Yield the rounds of jobs that compute a tensor; the jobs of a round must end before the next round is requested.

    The jobs of the last round pass all bytes of the tensor to `consume`, tile by tile in any order.
    """
    elements = evaluation.compute.elements
    most = TILES_PER_JOB * evaluation.tile
    pieces = [(start, min(start + most, elements)) for start in range(0, elements, most)]
    for blend, number in evaluation.passes():
        accumulator = Accumulator()
        measuring = partial(_measure, evaluation, worker_scratch, blend, number, accumulator)
        yield [partial(measuring, *numbered) for numbered in enumerate(pieces)]
        evaluation.finish_pass(blend, number, accumulator.total())
    yield [partial(_compute, evaluation, worker_scratch, piece, consume) for piece in pieces]


def _measure(
    evaluation: Evaluation,
    worker_scratch: WorkerScratch,
    blend: Blend,
    number: int,
    accumulator: Accumulator,
    order: int,
    piece: tuple[int, int],
) -> None:
    numbers, total = [], None
    for tile_range in _split(evaluation, worker_scratch, piece):
        sums = measure_tile(tile_range, blend, number, total)
        if isinstance(sums, list):
            numbers.append(sums)
        else:
            total = sums
    accumulator.add(order, numbers, None if total is None else worker_scratch.scratch.backend.to_numpy(total))


def _compute(evaluation: Evaluation, worker_scratch: WorkerScratch, piece: tuple[int, int], consume: Consume) -> None:
    dtype = evaluation.compute.dtype
    for tile_range in _split(evaluation, worker_scratch, piece):
        consume(dtype.nbytes(tile_range.start), compute_tile(tile_range))


def _split(evaluation: Evaluation, worker_scratch: WorkerScratch, piece: tuple[int, int]) -> Iterator[TileRange]:
    for start in range(*piece, evaluation.tile):
        yield TileRange(evaluation, worker_scratch.scratch, start, min(evaluation.tile, piece[1] - start))
