"""The number of worker threads, and the allocator's settings."""

from __future__ import annotations

import os

from stacker.run.work.workers import count_workers, keep_freed_memory


def test_as_many_as_may_run_at_once() -> None:
    """The number of cores in the affinity mask, not of the machine."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_workers() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_workers() == len(allowed)


def test_freed_memory_may_be_kept_twice() -> None:
    """Calling it again, as each worker does, does no harm."""
    keep_freed_memory()
    keep_freed_memory()
