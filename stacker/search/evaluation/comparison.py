"""Measures finalists and what a winner has to beat on the choice and the final part of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from stacker.errors import StackerError
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import make_batches
from stacker.search.evaluation.reading import Heat, read_windows
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


def measure_part(
    contenders: Iterable[Contender], name: str, part: Part, log: Log, batch: int = 2048
) -> Iterator[Losses]:
    """Yield the losses of each contender on all passages of a part; one that cannot run is left out.

    Those that the log has are not measured again, and equal stacks are measured once.
    """
    windows = part.list_all()
    heat = Heat(0, len(windows), tuple(make_batches(windows, batch)))
    for each in contenders:

        def measure(each: Contender = each) -> Losses:
            live = each.open()
            losses = read_windows(live, (heat,))
            live.release()
            return Losses(name, each.name, each.plan, part.texts, tuple(_divide(losses, part)))

        try:
            yield log.recall_losses(name, each.name, each.plan, measure)
        except (StackerError, RuntimeError):
            continue


def _divide(losses: Floats, part: Part) -> Iterator[tuple[float, ...]]:
    start = 0
    for windows in part.windows.values():
        yield tuple(map(float, losses[start : start + len(windows)]))
        start += len(windows)
