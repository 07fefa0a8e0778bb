"""Blends of two donors of 2.7 GB by several ops: time against mergekit, memory against the plan's estimate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import BlendOf
from tools.bench.measure import (
    STACKER,
    Bench,
    Row,
    Run,
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
from tools.bench.passthrough import make_two_donors

CACHED, DIRECT = "cat + cp + sync", "cat + dd oflag=direct"
HALF = {"weight": 0.5}
DENSE = {"weight": 0.5, "density": 0.5}


@dataclass(frozen=True, slots=True)
class Case:
    """An op, its parameters for each source and for the whole blend, and its target.

    `target` is how many times faster than mergekit stacker should be. `base` adds a third donor as the base; `streams`
    also compares with two ways to read and write the same bytes.
    """

    op: str
    target: float
    per_source: Mapping[str, float] = field(default_factory=lambda: HALF)
    own: Mapping[str, float] = field(default_factory=dict)
    base: bool = True
    streams: bool = False


BLENDS = (
    Case("linear", 4, base=False, streams=True),
    Case("task_arithmetic", 4, streams=True),
    Case("slerp", 4, {}, {"t": 0.5}, base=False),
    Case("nuslerp", 4, base=False),
    Case("multislerp", 4, base=False),
    Case("model_stock", 4, {}),
)
TASK_VECTORS = (
    Case("ties", 12, DENSE),
    Case("dare_ties", 12, DENSE),
    Case("breadcrumbs", 12, {**DENSE, "gamma": 0.01}),
    Case("della", 12, {**DENSE, "epsilon": 0.15}),
)
LARGER = (BLENDS[0], BLENDS[1], TASK_VECTORS[0], TASK_VECTORS[3])
"""One op of each kind: without passes, with a base, ranking whole tensors, ranking rows."""


def measure(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of ops that spend more time on reading and writing than on arithmetic."""
    for case in BLENDS:
        yield from _measure(bench, case, bench.times)


def measure_task_vectors(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of ops that rank elements, draw at random and elect signs; mergekit runs once."""
    for case in TASK_VECTORS:
        yield from _measure(bench, case, 1)


def measure_larger(bench: Bench) -> Iterator[Row]:
    """Resident memory with sparse donors of 2.7 GB, and with sparse donors that are ten times as large."""
    out = bench.scratch / "out"
    for case in LARGER:
        small, large = (_blend(bench, case, shape) for shape in (donors.MIDDLE, donors.LARGE))
        peaks = []
        for blend in (small, large):
            contenders.prepare(out)
            spec = contenders.write_blend(bench.scratch / f"{case.op}-{blend.donors[0].name}.yml", blend)
            peaks.append(contenders.build(spec, out).peak)
            yield at_most(f"{case.op} of {blend.donors[0].name}: resident memory", peaks[-1] / 1e6, 600, "MB", 0)
        yield at_most("ten times as large / small", peaks[1] / peaks[0], 1.1, "×")
    remove(out)


def blend_of(case: Case, pair: tuple[Path, Path], base: Path) -> BlendOf:
    """The blend of two donors that a case describes; `base` is left out for ops without a base."""
    return BlendOf(case.op, pair, base if case.base else None, case.per_source, case.own)


def _measure(bench: Bench, case: Case, merges: int) -> Iterator[Row]:
    blend, out = _blend(bench, case, None), bench.scratch / "out"
    spec = contenders.write_blend(bench.scratch / f"{case.op}.yml", blend)
    theirs = contenders.write_mergekit_blend(bench.scratch / f"{case.op}-mergekit.yml", blend)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch)
    read = [*blend.donors, *([blend.base] if blend.base else [])]
    prepare = partial(contenders.prepare, out, *read)
    ours = partial(contenders.build, spec, out)
    runs = alternate(bench.times, prepare, stacker=ours, **_streams(case, read, out))
    runs |= alternate(merges, prepare, mergekit=partial(contenders.merge, mergekit, theirs, out))
    yield from (Row(f"{case.op} of two 2.7 GB donors, durable: {name}", spread(found)) for name, found in runs.items())
    yield from _compare(case, runs, json.loads(run(*STACKER, "plan", spec, "--json").output)["costs"]["peak"])
    remove(out)


def _streams(case: Case, read: Sequence[Path], out: Path) -> dict[str, Callable[[], Run]]:
    """Two ways to read and write the same bytes without arithmetic, by name; empty unless `case.streams` is set."""
    if not case.streams:
        return {}
    return {
        CACHED: partial(contenders.stream, read[0], read[1:], out),
        DIRECT: partial(contenders.stream_past_cache, read[0], read[1:], out),
    }


def _compare(case: Case, runs: Mapping[str, list[Run]], planned: int) -> Iterator[Row]:
    ours, theirs = runs["stacker"], runs["mergekit"]
    yield at_least("mergekit / stacker", seconds(theirs) / seconds(ours), case.target, "×")
    if case.streams:
        for way in (CACHED, DIRECT):
            yield at_least(f"speed of stacker / of {way}", seconds(runs[way]) / seconds(ours), 0.7, "×", 2)
    yield at_most("resident memory of stacker", peak(ours) / 1e6, 600, "MB", 0)
    yield at_most("resident / planned peak", peak(ours) / planned, 1.2, "×", 2, f" of {megabytes(planned)}")
    yield Row("resident memory of mergekit", megabytes(peak(theirs)))


def _blend(bench: Bench, case: Case, holes: donors.Shape | None) -> BlendOf:
    first, second, base = _three_donors(bench.scratch, holes)
    return blend_of(case, (first, second), base)


def _three_donors(scratch: Path, holes: donors.Shape | None) -> tuple[Path, Path, Path]:
    if holes is None:
        return *make_two_donors(scratch), donors.make_donor(scratch / "donor-3", donors.MIDDLE, 3)
    names = (f"holes-{holes.layers}-{number}" for number in (1, 2, 3))
    first, second, third = (donors.make_donor(scratch / name, holes, None) for name in names)
    return first, second, third
