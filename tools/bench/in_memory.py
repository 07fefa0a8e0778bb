"""Two parts of stacker timed without files: planning under `--max-memory`, and the set-up of tasks.

Run as a program (`python -m tools.bench.in_memory`), so that its memory is not added to what other cases measure.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from tools.bench.measure import Bench, Row, at_most, run

TENSORS, MOST_WORKERS = 56_000, 64
TASKS, SETUP_SECONDS, WORKERS = 40, 0.05, 8


def measure_plan_memory(bench: Bench) -> Iterator[Row]:
    """Time to find how many of 64 workers fit into memory, as a ratio to computing the peak memory once."""
    found = _run_apart("plan-memory", bench.times)
    yield Row(f"peak memory of {TENSORS:,} blended tensors, computed once", f"{found['once']:.2f} s")
    yield Row(f"--max-memory planning for {MOST_WORKERS} workers", f"{found['planned']:.2f} s")
    yield at_most("planning / computing the peak once", found["planned"] / found["once"], 2, "×")


def measure_setup(bench: Bench) -> Iterator[Row]:
    """Time to set up forty tasks of 50 ms on eight workers, as a ratio to the same work divided evenly."""
    ideal = TASKS * SETUP_SECONDS / WORKERS
    found = _run_apart("setup", bench.times)["setup"]
    yield Row(f"{TASKS} task set-ups of {SETUP_SECONDS * 1000:.0f} ms on {WORKERS} workers", f"{found:.2f} s")
    yield at_most("time / divided evenly", found / ideal, 1.5, "×", 2, f" of {ideal:.2f} s")


def _run_apart(name: str, times: int) -> dict[str, float]:
    found: dict[str, float] = json.loads(run(sys.executable, "-m", __name__, name, str(times)).output)
    return found


def time_plan_memory(times: int) -> dict[str, float]:
    """Median seconds to compute the peak memory once, and to find how many workers fit into that much."""
    from stacker.core.plan.costs import fit_workers, predict_peak
    from stacker.core.plan.plan import Step
    from stacker.core.values.expression import Blend, Copy
    from stacker.tensors import Dtype, TensorRef, TensorSpec

    blend = Blend("linear", (Copy(TensorRef("a", "x")), Copy(TensorRef("b", "x"))))
    steps = [Step(TensorSpec(f"x.{number}", Dtype.BF16, (4096, 4096)), 0, 0, blend) for number in range(TENSORS)]
    once = partial(predict_peak, steps, 1)
    planned = partial(fit_workers, steps, MOST_WORKERS, once())
    return {"once": _median_seconds(times, once), "planned": _median_seconds(times, planned)}


def time_setup(times: int) -> dict[str, float]:
    """Median seconds to run tasks whose set-up takes time and whose only job does nothing."""
    from stacker.run.work.schedule import Job, Schedule, run_schedule

    def do_nothing() -> None: ...

    def slow_rounds() -> Iterator[list[Job]]:
        time.sleep(SETUP_SECONDS)
        yield [do_nothing]

    def run_tasks() -> None:
        tasks = ((str(number), slow_rounds()) for number in range(TASKS))
        run_schedule(Schedule(tasks, threading.Event()), WORKERS, do_nothing)

    return {"setup": _median_seconds(times, run_tasks)}


def _median_seconds(times: int, action: Callable[[], object]) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


if __name__ == "__main__":
    timings = {"plan-memory": time_plan_memory, "setup": time_setup}
    print(json.dumps(timings[sys.argv[1]](int(sys.argv[2]))))
