"""Callbacks through which long work reports its progress in bytes."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""A function that is called from time to time with the number of bytes done so far and the total number of bytes."""
Progress = Callable[[int], None]
"""A function that is called with the number of bytes done since the previous call."""


def ignore_watch(done: int, total: int) -> None:
    """Do nothing; a Watch for callers that show no progress."""
    del done, total


def ignore_progress(nbytes: int) -> None:
    """Do nothing; a Progress for callers that show no progress."""
    del nbytes
