"""How the work of a function grows with its input, counted in function calls, which never vary as seconds do."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from typing import Any


def count_calls(work: Callable[[], Any]) -> int:
    """How many functions are called while `work` runs, including those written in C."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # missing in the stubs


def measure_growth(work: Callable[[int], Callable[[], Any]], size: int = 100, times: int = 4) -> float:
    """How many times as many calls an input of `times * size` takes as one of `size`, divided by `times`.

    `work` prepares an input of a size and returns the function to measure. Linear work gives 1, quadratic work `times`.
    """
    work(size)()  # fills caches
    small, large = count_calls(work(size)), count_calls(work(times * size))
    return large / small / times
