"""Simulates a cluster that writes a stack of 2 TB: how time, repeated shards and the driver's load grow with workers.

The model: a shard takes its bytes divided by the worker's speed, plus a fixed time to begin. Speeds of workers are
log-normal around a median; workers die at random moments, at a constant rate, lose the shard that they write, and are
back after a while. All workers share the bandwidth of the storage. The driver adopts one finished shard at a time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tools.bench.measure import Bench, Row

GB = 1e9


@dataclass(frozen=True, slots=True)
class Model:
    """The assumptions: bytes, bytes a second, seconds, and deaths of one worker in an hour."""

    stack: float = 2.04e12
    shard: float = 1 * GB
    speed: float = 0.5 * GB
    spread: float = 0.5
    storage: float = 100 * GB
    begin: float = 0.5
    adopt: float = 0.02
    deaths: float = 0.02
    absence: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated build took: seconds, shards begun again, and the part of the time in which the driver worked."""

    seconds: float
    again: int
    driver: float


def simulate(workers: int, model: Model, seed: int = 0) -> Outcome:
    """Simulate a build with so many workers."""
    source = random.Random(seed)
    share = model.storage / workers
    speeds = [min(share, model.speed * source.lognormvariate(0, model.spread)) for _ in range(workers)]
    left, again, driver_free, last = int(model.stack // model.shard), 0, 0.0, 0.0
    shards = left
    free = [(0.0, worker) for worker in range(workers)]
    while left:
        now, worker = heapq.heappop(free)
        takes = model.begin + model.shard / speeds[worker]
        dies = source.expovariate(model.deaths / 3600)
        if dies < takes:
            again += 1
            heapq.heappush(free, (now + dies + model.absence, worker))
            continue
        left -= 1
        driver_free = max(driver_free, now + takes) + model.adopt
        last = max(last, driver_free)
        heapq.heappush(free, (now + takes, worker))
    return Outcome(last, again, shards * model.adopt / last)


def measure(bench: Bench) -> Iterator[Row]:
    """Time, repeated shards and the driver's load for 1 to 1,000 workers; nothing is measured on this machine."""
    del bench
    for workers in (1, 10, 100, 1000):
        found = [simulate(workers, Model(), seed) for seed in range(20)]
        middle = sorted(each.seconds for each in found)[len(found) // 2]
        again = sum(each.again for each in found) / len(found)
        driver = sum(each.driver for each in found) / len(found)
        yield Row(
            f"simulated: {workers} workers", f"{middle:,.0f} s, {again:.1f} shards again, driver busy {driver:.0%}"
        )
