"""`python -m tools.bench [NAME…]`: run benchmarks and print a table of results; exit 1 when a target was missed."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.bench import (
    adapters,
    blends,
    cluster,
    dequantized,
    digest,
    extraction,
    gguf,
    goliath,
    in_memory,
    live,
    live_gpu,
    passthrough,
    prediction,
    probe,
    reflink,
    sameness,
    search,
    simulation,
    storage,
    streaming,
    xet,
)
from tools.bench.measure import Bench, BenchError, Row

CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "passthrough": passthrough.measure,
    "reflink": reflink.measure,
    "goliath": goliath.measure,
    "blends": blends.measure,
    "task-vectors": blends.measure_task_vectors,
    "larger": blends.measure_larger,
    "prediction": prediction.measure,
    "startup": goliath.measure_startup,
    "probe": probe.measure,
    "gguf": gguf.measure,
    "dequantized": dequantized.measure,
    "digest": digest.measure,
    "sameness": sameness.measure,
    "plan-memory": in_memory.measure_plan_memory,
    "setup": in_memory.measure_setup,
    "live": live.measure,
    "live-gpu": live_gpu.measure,
    "search": search.measure,
    "stream": streaming.measure,
    "xet": xet.measure,
    "cluster-plan": cluster.measure_plan,
    "cluster-million": cluster.measure_million,
    "storage": storage.measure,
    "ray": cluster.measure_ray,
    "cluster-simulation": simulation.measure,
    "adapters": adapters.measure,
    "extraction": extraction.measure,
}


def main() -> int:
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.scratch.absolute(), options.times, options.mergekit)
    print(f"{_machine()}; medians of {bench.times}\n\n| what | found | target | |\n|---|---|---|---|", flush=True)
    missed = 0
    for name in options.names or CASES:
        try:
            for row in CASES[name](bench):
                missed += row.reached is False
                print(f"| {row.what} | {row.found} | {row.target} | {_verdict(row)} |", flush=True)
        except BenchError as error:
            missed += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", choices=[*CASES], help=f"cases to run (default: all): {', '.join(CASES)}"
    )
    parser.add_argument("--scratch", type=Path, default=Path("build/bench"), help="a folder with 40 GB of free space")
    parser.add_argument("--times", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--mergekit", type=Path, help="the program mergekit-yaml (default: installed into SCRATCH)")
    return parser.parse_args()


def _verdict(row: Row) -> str:
    return {None: "", True: "reached", False: "MISSED"}[row.reached]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.system()} {platform.release().split('-')[0]}"


if __name__ == "__main__":
    sys.exit(main())
