"""What a build has done so far, counted by many threads, and the report at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stacker.core.report import Report
from stacker.run.schedule import Stopped

Watch = Callable[[int, int], None]
"""Told now and then how many bytes are done, and of how many."""


def unwatched(done: int, total: int) -> None:
    """A Watch for when nobody looks."""
    del done, total


class Meter:
    """Bytes done so far, and the report in the making; methods may be called from any thread.

    `stop` is set when all work is to end.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self._total = Report()

    def advance(self, nbytes: int) -> None:
        """That many bytes more are done; Stopped when all work is to end."""
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self.done += nbytes

    def count(self, part: Report) -> None:
        """Add to the report."""
        with self._lock:
            self._total += part

    def report(self) -> Report:
        with self._lock:
            return self._total
