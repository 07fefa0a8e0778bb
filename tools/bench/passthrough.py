"""Moving layers: two donors of 2.7 GB into a stack of 4.4 GB, against `cp` and mergekit; and four times as much."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import Slice
from tools.bench.measure import Bench, Row, Run, alternate, at_least, at_most, megabytes, peak, remove, seconds, spread


def two_donors(scratch: Path) -> tuple[Path, Path]:
    """Two donors of 2.7 GB with random weights."""
    first, second = (donors.make_donor(scratch / f"donor-{seed}", donors.MIDDLE, seed) for seed in (1, 2))
    return first, second


def five_slices(first: Path, second: Path) -> list[Slice]:
    """Forty layers, alternately of two donors of 24."""
    return [Slice((first, second)[number % 2], 4 * number, 4 * number + 8) for number in range(5)]


def measure(bench: Bench) -> Iterator[Row]:
    """Durable time and resident memory of a passthrough build, from memory and from the disk."""
    first, second = two_donors(bench.scratch)
    slices = five_slices(first, second)
    spec = contenders.stack_spec(bench.scratch / "passthrough.yml", slices)
    theirs = contenders.mergekit_stack(bench.scratch / "passthrough-mergekit.yml", slices)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch)
    reference, out = bench.scratch / "reference", bench.scratch / "out"
    contenders.ready(reference)
    contenders.build(spec, reference)
    for where, prepare in (("donors in memory", contenders.ready), ("donors on disk", contenders.ready_cold)):
        runs = alternate(
            bench.times,
            partial(prepare, out, first, second, reference),
            stacker=partial(contenders.build, spec, out),
            cp=partial(contenders.copy, reference, out),
            mergekit=partial(contenders.merge, mergekit, theirs, out),
        )
        yield from _compare(f"passthrough to 4.4 GB, {where}", runs)
    remove(reference)
    yield from _four_times(bench, slices, peak(runs["stacker"]))


def _compare(what: str, runs: dict[str, list[Run]]) -> Iterator[Row]:
    ours = runs["stacker"]
    yield from (Row(f"{what}: {name}", spread(found)) for name, found in runs.items())
    yield at_most("stacker / (cp + sync)", seconds(ours) / seconds(runs["cp"]), 1.15, "×")
    yield at_least("mergekit / stacker", seconds(runs["mergekit"]) / seconds(ours), 4, "×")
    yield at_most("resident memory of stacker", peak(ours) / 1e6, 60, "MB", 0)
    yield Row("resident memory of mergekit", megabytes(peak(runs["mergekit"])))


def _four_times(bench: Bench, slices: list[Slice], before: int) -> Iterator[Row]:
    """The same slices four times over: four times the bytes and the tensors."""
    out = bench.scratch / "out"
    contenders.ready(out)
    large = contenders.build(contenders.stack_spec(bench.scratch / "four.yml", slices * 4), out)
    grown = (large.peak - before) / 1e6
    yield at_most("resident memory of a build 4 × as large", large.peak / 1e6, 60, "MB", 0, f" ({grown:+.1f} MB)")
    remove(out)
