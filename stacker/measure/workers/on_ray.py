"""Measures items of a study on a Ray cluster: one item is one task, and a worker keeps the study that it has opened.

Workers open the donors themselves. They compute with as many threads as this process would, so that they find the same
figures to the last digit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from stacker.errors import StackerError, StorageError
from stacker.measure.workers.workers import Answer, Item, Study, Thing, Workers
from stacker.run.ray_cluster import choose_options, connect, count_waiting, list_needed

_opened: dict[str, Callable[[Any], Any]] = {}
"""In a worker: the study that it has opened, by Ray's id of it."""


@contextmanager
def open_workers() -> Iterator[Workers]:
    """The workers of the cluster that RAY_ADDRESS names; without it, Ray is started on this machine."""
    with connect() as ray:
        yield RayWorkers(ray)


@dataclass(frozen=True, slots=True)
class RayWorkers:
    """The workers of a Ray cluster; `ray` is the module, connected to it."""

    ray: Any

    def measure(
        self, study: Study[Item, Answer], things: Iterable[Thing], choose: Callable[[Thing], Item | None]
    ) -> Iterator[tuple[Thing, Answer | StackerError | None]]:
        """Yield all things with the answers about them; see Workers.

        A task whose worker dies is begun again. SpecError if no node has as many CPUs as this process has threads,
        StorageError if a task fails for good.
        """
        waiting: deque[tuple[Thing, Any]] = deque()
        start, most = self._prepare(study), count_waiting(self.ray)
        try:
            for thing in things:
                item = choose(thing)
                waiting.append((thing, None if item is None else start(item)))
                while len(waiting) >= most:
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        finally:
            for _, task in waiting:
                if task is not None:
                    self.ray.cancel(task)

    def _prepare(self, study: Study[Item, Answer]) -> Callable[[Item], Any]:
        """The function that starts the task of an item."""
        threads = torch.get_num_threads()
        needed, hint = list_needed(threads, study.settings.device), "use fewer threads everywhere: OMP_NUM_THREADS=1"
        options = choose_options(needed, self.ray.nodes(), "a stack", hint)
        task, shared = self.ray.remote(_measure).options(**options), self.ray.put(study)
        return lambda item: task.remote(shared.hex(), shared, item, threads)

    def _finish(self, thing: Thing, task: Any) -> tuple[Thing, Any]:
        if task is None:
            return thing, None
        try:
            return thing, self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            message = f"a stack could not be measured on the cluster: {type(error).__name__}"
            raise StorageError.of(message, "Ray's logs (/tmp/ray on the node) say more") from error


def _measure(name: str, study: Study[Item, Answer], item: Item, threads: int) -> Answer | StackerError:
    """Measure one item in a worker; errors that a user can cause are returned."""
    torch.set_num_threads(threads)
    try:
        if name not in _opened:
            _opened.clear()
            _opened[name] = study.open()
        answer: Answer = _opened[name](item)
    except StackerError as error:
        return error
    return answer
