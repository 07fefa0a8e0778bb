"""Callbacks through which long work reports its progress in bytes."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""Called from time to time with the bytes done so far and the total bytes."""
Progress = Callable[[int], None]
"""Called with the bytes done since the last call."""


def ignore_watch(done: int, total: int) -> None:
    """A Watch for callers that show no progress."""
    del done, total


def ignore_progress(nbytes: int) -> None:
    """A Progress for callers that show no progress."""
    del nbytes
