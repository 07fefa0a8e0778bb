"""The build time that `preview` says, compared with the time that the build takes, after `doctor --measure`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tools.bench import contenders
from tools.bench.blends import BLENDS, TASK_VECTORS, Case, blend_of
from tools.bench.contenders import Slice
from tools.bench.donors import MIDDLE, make_donor
from tools.bench.measure import STACKER, Bench, Row, alternate, at_most, remove, run, seconds
from tools.bench.passthrough import make_two_donors

CASES = (*BLENDS[:3], *TASK_VECTORS)
_LARGEST = 1.5


def measure(bench: Bench) -> Iterator[Row]:
    """The larger of predicted / actual and actual / predicted, for copies and ops; the speeds are measured first."""
    keep = {"XDG_CACHE_HOME": str(bench.scratch / "speeds")}
    remove(bench.scratch / "speeds")
    measured = run(*STACKER, "doctor", bench.scratch, "--measure", environment=keep)
    yield Row("doctor --measure", f"{measured.seconds:.1f} s")
    pair, base = make_two_donors(bench.scratch), make_donor(bench.scratch / "donor-3", MIDDLE, 3)
    slices = [Slice(pair[0], 0, 16), Slice(pair[1], 8, 24)]
    yield _compare(bench, "copy", contenders.write_stack(bench.scratch / "copy.yml", slices), [*pair], keep)
    for case in CASES:
        spec = contenders.write_blend(bench.scratch / f"{case.op}.yml", blend_of(case, pair, base))
        yield _compare(bench, case.op, spec, _list_read(case, pair, base), keep)


def _list_read(case: Case, pair: tuple[Path, Path], base: Path) -> list[Path]:
    return [*pair, *([base] if case.base else [])]


def _compare(bench: Bench, name: str, spec: Path, read: list[Path], keep: dict[str, str]) -> Row:
    """Ask for the prediction before the builds, from which later predictions would learn."""
    out = bench.scratch / "out"
    figures = json.loads(run(*STACKER, "preview", spec, "--json", environment=keep).output)["figures"]
    expected = figures["seconds_estimated"]
    runs = alternate(
        bench.times,
        lambda: contenders.prepare(out, *read),
        build=lambda: run(*STACKER, "build", spec, out, "--quiet", environment=keep),
    )["build"]
    remove(out)
    actual = seconds(runs)
    ratio = max(expected / actual, actual / expected)
    return at_most(f"time of {name}: said / taken", ratio, _LARGEST, "×", 2, f" ({expected:.1f} s, {actual:.2f} s)")
