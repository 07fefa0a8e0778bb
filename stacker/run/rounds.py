"""A tensor to compute as rounds of jobs: measured as often as its ops ask for, then made, each piece by any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from stacker.core.budget import TILE, live_tiles
from stacker.core.expression import Blend
from stacker.core.runs import Compute
from stacker.run.evaluate import Evaluation, Stretch, begin_evaluation, make, measure
from stacker.run.schedule import Job
from stacker.run.sources import Sources
from stacker.run.tiles import Scratch

PIECE = 32 * TILE
"""Elements that one job takes on: small enough for the largest tensor to be shared by all threads to its end."""
Deal = Callable[[int, memoryview], None]
"""Does something with the output bytes of a tensor from a byte of it on, before it returns."""


class Bench(threading.local):
    """The scratch of each thread, made when the thread first needs it, in which all of some tensors can be computed."""

    def __init__(self, computes: Iterable[Compute]) -> None:
        wanted = [(live_tiles(compute.expression), 8 if compute.wide else 4) for compute in computes]
        self._slots = max((slots for slots, _ in wanted), default=0)
        self._width = max((width for _, width in wanted), default=0)
        self._scratch: Scratch | None = None

    @property
    def scratch(self) -> Scratch:
        if self._scratch is None:
            self._scratch = Scratch(self._slots, self._width)
        return self._scratch


def compute_rounds(compute: Compute, sources: Sources, bench: Bench, deal: Deal) -> Iterator[Sequence[Job]]:
    """The jobs that end in `deal` having got every byte of the tensor, in any order."""
    evaluation = begin_evaluation(compute, sources)
    pieces = [(start, min(start + PIECE, compute.elements)) for start in range(0, compute.elements, PIECE)]
    for blend, number in evaluation.passes():
        sums: list[Sequence[float]] = []
        yield [partial(_measure, evaluation, bench, piece, blend, number, sums) for piece in pieces]
        evaluation.learn(blend, sums)
    yield [partial(_make, evaluation, bench, piece, deal) for piece in pieces]


def _measure(
    evaluation: Evaluation, bench: Bench, piece: tuple[int, int], blend: Blend, number: int, sums: list[Sequence[float]]
) -> None:
    for stretch in _stretches(evaluation, bench, piece):
        sums.append(measure(stretch, blend, number))  # noqa: PERF401 - each as soon as it is known, one append at a time


def _make(evaluation: Evaluation, bench: Bench, piece: tuple[int, int], deal: Deal) -> None:
    bits = evaluation.compute.dtype.bits
    for stretch in _stretches(evaluation, bench, piece):
        deal(stretch.start * bits // 8, make(stretch))


def _stretches(evaluation: Evaluation, bench: Bench, piece: tuple[int, int]) -> Iterator[Stretch]:
    scratch = bench.scratch
    for start in range(*piece, TILE):
        yield Stretch(evaluation, scratch, start, min(TILE, piece[1] - start))
