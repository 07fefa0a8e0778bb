"""Threads: as many as the machine has for us."""

from __future__ import annotations

import os

from stacker.run.work.workers import count_workers, keep_freed_memory


def test_as_many_as_may_run_at_once() -> None:
    """What the affinity mask allows, not what the machine has."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_workers() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_workers() == len(allowed)


def test_freed_memory_may_be_kept_twice() -> None:
    """Every worker asks for it."""
    keep_freed_memory()
    keep_freed_memory()
