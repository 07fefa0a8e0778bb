"""Arithmetic: every kind of blend of two donors of 2.7 GB, against mergekit; memory against what the plan said."""

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
from tools.bench.passthrough import two_donors

CACHED, DIRECT = "cat + cp + sync", "cat + dd oflag=direct"
HALF = {"weight": 0.5}
DENSE = {"weight": 0.5, "density": 0.5}


@dataclass(frozen=True, slots=True)
class Case:
    """An op with its values, whether a third donor is its base, and how many times as fast as mergekit it should be.

    With `streams` it is also held against reading and writing the same bytes, in two ways.
    """

    op: str
    reach: float
    each: Mapping[str, float] = field(default_factory=lambda: HALF)
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
"""One of each kind: no pass, a base, ranks, rows."""


def measure(bench: Bench) -> Iterator[Row]:
    """Time and resident memory of the ops that move bytes more than they compute."""
    for case in BLENDS:
        yield from _measure(bench, case, bench.times)


def measure_task_vectors(bench: Bench) -> Iterator[Row]:
    """The same of ops that rank, draw and elect; mergekit runs once."""
    for case in TASK_VECTORS:
        yield from _measure(bench, case, 1)


def measure_larger(bench: Bench) -> Iterator[Row]:
    """Resident memory of blends of donors of 2.7 GB, and of ten times as large ones, made of holes."""
    out = bench.scratch / "out"
    for case in LARGER:
        small, large = (_blend(bench, case, shape) for shape in (donors.MIDDLE, donors.LARGE))
        peaks = []
        for blend in (small, large):
            contenders.ready(out)
            spec = contenders.blend_spec(bench.scratch / f"{case.op}-{blend.donors[0].name}.yml", blend)
            peaks.append(contenders.build(spec, out).peak)
            yield at_most(f"{case.op} of {blend.donors[0].name}: resident memory", peaks[-1] / 1e6, 600, "MB", 0)
        yield at_most("ten times as large / as before", peaks[1] / peaks[0], 1.1, "×")
    remove(out)


def blend_of(case: Case, pair: tuple[Path, Path], base: Path) -> BlendOf:
    """The case's op over these donors, with the base where it takes one."""
    return BlendOf(case.op, pair, base if case.base else None, case.each, case.own)


def _measure(bench: Bench, case: Case, merges: int) -> Iterator[Row]:
    blend, out = _blend(bench, case, None), bench.scratch / "out"
    spec = contenders.blend_spec(bench.scratch / f"{case.op}.yml", blend)
    theirs = contenders.mergekit_blend(bench.scratch / f"{case.op}-mergekit.yml", blend)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch)
    read = [*blend.donors, *([blend.base] if blend.base else [])]
    ready = partial(contenders.ready, out, *read)
    runs = alternate(bench.times, ready, stacker=partial(contenders.build, spec, out), **_yardsticks(case, read, out))
    runs |= alternate(merges, ready, mergekit=partial(contenders.merge, mergekit, theirs, out))
    yield from (Row(f"{case.op} of two 2.7 GB donors, durable: {name}", spread(found)) for name, found in runs.items())
    yield from _compare(case, runs, json.loads(run(*STACKER, "plan", spec, "--json").output)["costs"]["peak"])
    remove(out)


def _yardsticks(case: Case, read: Sequence[Path], out: Path) -> dict[str, Callable[[], Run]]:
    """The same bytes read and written without arithmetic."""
    if not case.streams:
        return {}
    return {
        CACHED: partial(contenders.stream, read[0], read[1:], out),
        DIRECT: partial(contenders.stream_past_cache, read[0], read[1:], out),
    }


def _compare(case: Case, runs: Mapping[str, list[Run]], planned: int) -> Iterator[Row]:
    ours, theirs = runs["stacker"], runs["mergekit"]
    yield at_least("mergekit / stacker", seconds(theirs) / seconds(ours), case.reach, "×")
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
        return *two_donors(scratch), donors.make_donor(scratch / "donor-3", donors.MIDDLE, 3)
    names = (f"holes-{holes.layers}-{number}" for number in (1, 2, 3))
    first, second, third = (donors.make_donor(scratch / name, holes, None) for name in names)
    return first, second, third
