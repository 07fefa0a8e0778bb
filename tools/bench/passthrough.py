"""Copying layers: two donors of 2.7 GB become a stack of 4.4 GB (against `cp` and mergekit), and one of 17.5 GB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import Slice
from tools.bench.measure import Bench, Row, Run, alternate, at_least, at_most, megabytes, peak, remove, seconds, spread


def make_two_donors(scratch: Path) -> tuple[Path, Path]:
    """Write two donors of 2.7 GB with random weights, unless they exist."""
    first, second = (donors.make_donor(scratch / f"donor-{seed}", donors.MIDDLE, seed) for seed in (1, 2))
    return first, second


def make_five_slices(first: Path, second: Path) -> list[Slice]:
    """Five slices of 8 layers, alternately from two donors of 24 layers."""
    return [Slice((first, second)[number % 2], 4 * number, 4 * number + 8) for number in range(5)]


def measure(bench: Bench) -> Iterator[Row]:
    """Time (with sync) and resident memory of a passthrough build, with donors in the page cache and on the disk."""
    first, second = make_two_donors(bench.scratch)
    slices = make_five_slices(first, second)
    spec = contenders.write_stack(bench.scratch / "passthrough.yml", slices)
    theirs = contenders.write_mergekit_stack(bench.scratch / "passthrough-mergekit.yml", slices)
    mergekit = contenders.find_mergekit(bench.mergekit, bench.scratch)
    reference, out = bench.scratch / "reference", bench.scratch / "out"
    contenders.prepare(reference)
    contenders.build(spec, reference)
    for where, prepare in (("donors in memory", contenders.prepare), ("donors on disk", contenders.prepare_cold)):
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
    """Resident memory of a build with the same slices four times over: four times the bytes and the tensors."""
    out = bench.scratch / "out"
    contenders.prepare(out)
    large = contenders.build(contenders.write_stack(bench.scratch / "four.yml", slices * 4), out)
    grown = (large.peak - before) / 1e6
    yield at_most("resident memory of a build 4 × as large", large.peak / 1e6, 60, "MB", 0, f" ({grown:+.1f} MB)")
    remove(out)
