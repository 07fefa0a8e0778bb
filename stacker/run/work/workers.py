"""What worker threads share: their number, the allocator's settings, and the count of bytes done."""

from __future__ import annotations

import ctypes
import os
import threading

from stacker.core.plan.plan import Report
from stacker.run.work.schedule import Stopped

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_HEAP_BYTES = 32 << 20
"""How many freed bytes the allocator keeps in each of its heaps; larger requests bypass the heaps."""


def count_workers() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system; does nothing without glibc.

    Without this, ops that rank elements spend a tenth of their time on page faults of new memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, _HEAP_BYTES)


class Meter:
    """Counts bytes done and adds up the report. Methods may be called from any thread; setting `stop` ends the work."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self._total = Report()

    def advance(self, nbytes: int) -> None:
        """Count `nbytes` more as done; raises Stopped when the work was stopped."""
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self.done += nbytes

    def count(self, part: Report) -> None:
        """Add a report of some of the work to the total."""
        with self._lock:
            self._total += part

    def report(self) -> Report:
        """The total of all reports so far."""
        with self._lock:
            return self._total
