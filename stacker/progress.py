"""How long work tells its caller how far it is: by calling a function with numbers of bytes."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""Called now and then with the bytes done so far and the bytes in all."""
Progress = Callable[[int], None]
"""Called with the bytes done since it was last called."""


def ignore_watch(done: int, total: int) -> None:
    """A Watch for callers that show no progress."""
    del done, total


def ignore_progress(nbytes: int) -> None:
    """A Progress for callers that show none."""
    del nbytes
