"""Workers in this process, to which everything is sent as to another: pickled. For tests that need no cluster."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stacker.errors import StackerError
from stacker.measure.workers.workers import Answer, Item, Study, Thing

AHEAD = 3
"""How many things are taken before the first answer is yielded."""


class PickledWorkers:
    """Measures items of a study with a copy of it; see Workers."""

    def measure(
        self, study: Study[Item, Answer], things: Iterable[Thing], choose: Callable[[Thing], Item | None]
    ) -> Iterator[tuple[Thing, Answer | StackerError | None]]:
        """Yield the things with the answers about them, each a little later than it was taken."""
        run: Callable[[Any], Any] | None = None
        waiting: deque[tuple[Thing, Any]] = deque()
        for thing in things:
            item = choose(thing)
            if item is not None:
                run = run or _copy(study).open()
            waiting.append((thing, None if item is None or run is None else _answer(run, item)))
            if len(waiting) >= AHEAD:
                yield waiting.popleft()
        yield from waiting


def _answer(run: Callable[[Any], Any], item: Any) -> Any:
    try:
        return _copy(run(_copy(item)))
    except StackerError as error:
        return _copy(error)


def _copy(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
