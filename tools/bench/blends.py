"""Arithmetic: linear and slerp of two donors of 2.7 GB, against mergekit, and memory against what the plan said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from tools.bench import contenders
from tools.bench.measure import (
    STACKER,
    Bench,
    Row,
    alternate,
    at_least,
    at_most,
    megabytes,
    peak,
    remove,
    run,
    seconds,
    spread,
)
from tools.bench.passthrough import two_donors


def measure(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of two blends."""
    for op in ("linear", "slerp"):
        yield from _blend(bench, op)


def _blend(bench: Bench, op: str) -> Iterator[Row]:
    pair = two_donors(bench.scratch)
    spec = contenders.blend_spec(bench.scratch / f"{op}.yml", op, pair)
    theirs = contenders.mergekit_blend(bench.scratch / f"{op}-mergekit.yml", op, pair)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch)
    out = bench.scratch / "out"
    planned = json.loads(run(*STACKER, "plan", spec, "--json").output)["costs"]["peak"]
    runs = alternate(
        bench.times,
        partial(contenders.ready, out, *pair),
        stacker=partial(contenders.build, spec, out),
        mergekit=partial(contenders.merge, mergekit, theirs, out),
    )
    ours = runs["stacker"]
    yield from (Row(f"{op} of two 2.7 GB donors, durable: {name}", spread(found)) for name, found in runs.items())
    yield at_least("mergekit / stacker", seconds(runs["mergekit"]) / seconds(ours), 4, "×")
    yield at_most("resident memory of stacker", peak(ours) / 1e6, 600, "MB", 0)
    yield at_most("resident / planned peak", peak(ours) / planned, 1.1, "×", 2, f" of {megabytes(planned)}")
    yield Row("resident memory of mergekit", megabytes(peak(runs["mergekit"])))
    remove(out)
