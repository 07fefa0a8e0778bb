"""How many threads work here, and torch: imported beside other work, and kept to one thread for each of ours."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_KEPT = 32 << 20
"""Bytes that the allocator keeps at the top of each of its heaps, and takes from a heap at most."""


def available_workers() -> int:
    """How many threads can work at once on this machine, as far as it is ours."""
    return len(os.sched_getaffinity(0))


def no_torch() -> None:
    """What there is to wait for where nothing is computed."""


@contextmanager
def torch_beside() -> Iterator[Callable[[], None]]:
    """torch is imported, which takes a second or more, while what is inside goes on without it.

    What this gives waits for that; each thread calls it before its first tile. Threads of our own share the work:
    torch's, inside small tiles, would only wait for each other.
    """
    before: list[int] = []
    importing = threading.Thread(target=_import_torch, args=(before,), name="import of torch")

    def ready() -> None:
        importing.join()
        import torch

        torch.set_num_threads(1)

    keep_freed_memory()
    importing.start()
    try:
        yield ready
    finally:
        importing.join()
        if before:
            import torch

            torch.set_num_threads(before[0])


def _import_torch(threads: list[int]) -> None:
    with suppress(ImportError):  # who needs it imports it again, and says so
        import torch

        threads.append(torch.get_num_threads())


def keep_freed_memory() -> None:
    """Memory that is freed stays with the process: to get it anew costs as much as what is computed in it.

    Measured, an op that ranks loses a tenth of its time to page faults otherwise. Only glibc has this switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, _KEPT)
