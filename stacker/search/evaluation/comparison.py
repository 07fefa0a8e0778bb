"""Measures finalists and what a winner has to beat on the choice and the final part of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from stacker.errors import StackerError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import make_batches
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.evaluation.reading import Heat, read_windows
from stacker.search.evaluation.readings import Asked, Found, ReadingStudy, check_found
from stacker.search.evaluation.windows import Part
from stacker.search.log import Log
from stacker.search.ranking import Floats
from stacker.search.results import Losses

Open = Callable[[], LiveStack]
"""Loads a stack; StackerError if that is impossible."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A stack that takes part in a comparison: a finalist, a donor or a simple blend; `plan` is the id of its plan."""

    name: str
    plan: str
    open: Open = field(repr=False, compare=False)
    draw: Callable[[], Blueprint] = field(repr=False, compare=False)


def measure_part(
    contenders: Iterable[Contender],
    name: str,
    part: Part,
    log: Log,
    start: LiveStack,
    workers: Workers = HERE,
    batch: int = 2048,
) -> Iterator[Losses]:
    """Yield the losses of each contender on all passages of a part; one that cannot run is left out.

    Those that the log has are not measured again, and equal stacks are measured once. What `workers` can measure is
    measured there, with stacks that share their weights with `start`.
    """
    windows = part.list_all()
    heat = Heat(0, len(windows), tuple(make_batches(windows, batch)))
    study = ReadingStudy(start.blueprint, start.blueprint, start.settings, batch)

    def choose(each: Contender) -> Asked | None:
        known = any((losses.part, losses.plan) == (name, each.plan) for losses in log.losses)
        return None if known else Asked(each.draw(), (heat,))

    for each, found in workers.measure(study, contenders, choose):

        def measure(each: Contender = each, found: Found | StackerError | None = found) -> Losses:
            losses = _find_losses(each, heat, found)
            return Losses(name, each.name, each.plan, part.texts, tuple(_divide(losses, part)))

        try:
            yield log.recall_losses(name, each.name, each.plan, measure)
        except (StackerError, RuntimeError):
            continue


def _find_losses(each: Contender, heat: Heat, found: Found | StackerError | None) -> Floats:
    """The losses that a worker has found, or if none was asked, those of the stack itself; StackerError without any."""
    if isinstance(found, StackerError):
        raise found
    if found is not None:
        return check_found(found[heat.start])
    live = each.open()
    losses = read_windows(live, (heat,))
    live.release()
    return losses


def _divide(losses: Floats, part: Part) -> Iterator[tuple[float, ...]]:
    start = 0
    for windows in part.windows.values():
        yield tuple(map(float, losses[start : start + len(windows)]))
        start += len(windows)
