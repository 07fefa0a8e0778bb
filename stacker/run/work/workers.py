"""How many threads work here, and what they do with memory."""

from __future__ import annotations

import ctypes
import os
import threading

from stacker.core.plan.plan import Report
from stacker.run.work.schedule import Stopped

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_KEPT = 32 << 20
"""Bytes that the allocator keeps at the top of each of its heaps, and takes from a heap at most."""


def count_workers() -> int:
    """How many threads can work at once on this machine, as far as it is ours."""
    return len(os.sched_getaffinity(0))


def keep_freed_memory() -> None:
    """Memory that is freed stays with the process: to get it anew costs as much as what is computed in it.

    Measured, an op that ranks loses a tenth of its time to page faults otherwise. Only glibc has this switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, _KEPT)


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
