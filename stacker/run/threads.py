"""How many threads work here, and torch kept to one for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def available_workers() -> int:
    """How many threads can work at once on this machine, as far as it is ours."""
    return len(os.sched_getaffinity(0))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Threads of our own share the work: torch's, inside small tiles, would only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
