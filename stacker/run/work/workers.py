"""Chooses the number of worker threads, configures the memory allocator for them, and counts the bytes they process."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from pathlib import Path

from stacker.core.plan.costs import NOTHING_USED, MemoryUse
from stacker.core.plan.plan import Report
from stacker.run.work.schedule import Stopped

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers of the parameters M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)."""
_HEAP_BYTES = 32 << 20
"""How many freed bytes the allocator keeps in each of its heaps; larger requests do not use the heaps."""

_MEMORY = re.compile(r"(VmRSS|VmHWM):\s*(\d+) kB")


def count_workers() -> int:
    """How many worker threads to start: the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_memory() -> MemoryUse:
    """The resident memory of this process, as the system counts it; nothing if the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return NOTHING_USED
    found = {name: int(value) * 1024 for name, value in _MEMORY.findall(status)}
    return MemoryUse(found.get("VmRSS", 0), found.get("VmHWM", 0))


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system; does nothing without glibc.

    Without this, ops that rank elements spend a tenth of their time on page faults of new memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, _HEAP_BYTES)


class Meter:
    """Counts the bytes that all threads have done, and adds up their reports.

    Any thread may call the methods. When `stop` is set, `advance` raises Stopped.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self._total = Report()

    def advance(self, nbytes: int) -> None:
        """Add `nbytes` to the number of bytes done; raises Stopped if the work was stopped."""
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self.done += nbytes

    def count(self, part: Report) -> None:
        """Add the report on a part of the work to the total report."""
        with self._lock:
            self._total += part

    def report(self) -> Report:
        """The total of all reports so far."""
        with self._lock:
            return self._total
