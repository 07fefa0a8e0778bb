"""GGUF stacks: copying two quantised files of 4 GB, Goliath from sparse files, and a blend of Q8_0."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tools.bench.goliath import BOUNDS
from tools.bench.measure import (
    STACKER,
    Bench,
    Row,
    Run,
    alternate,
    at_least,
    at_most,
    peak,
    remove,
    run,
    seconds,
    settle,
    spread,
)


def _write(path: Path, *words: str) -> None:
    run(sys.executable, "-m", "tools.bench.gguf_donors", str(path), *words)


def write_spec(path: Path, items: Sequence[str]) -> Path:
    """Write a spec over the donors `a.gguf` and `b.gguf` beside it."""
    stack = "".join(f"  - {item}\n" for item in items)
    path.write_text(f"stacker: 1\ndonors: {{a: a.gguf, b: b.gguf}}\nstack:\n{stack}", encoding="utf-8")
    return path


def measure(bench: Bench) -> Iterator[Row]:
    """Time and memory of looking at, copying and blending GGUF files."""
    home = bench.scratch / "gguf"
    home.mkdir(exist_ok=True)
    try:
        for measured in (_measure_goliath, _measure_copies, _measure_blend):
            yield from measured(bench.times, home)
            remove(home)
            home.mkdir()
    finally:
        remove(home)


def _build(spec: Path, out: Path) -> Run:
    return run("sh", "-c", f"{' '.join(STACKER)} build -q {spec} {out} && sync")


def _prepare(out: Path) -> None:
    out.unlink(missing_ok=True)
    settle()


def _measure_goliath(times: int, home: Path) -> Iterator[Row]:
    for name in ("a", "b"):
        _write(home / f"{name}.gguf", "70B", "Q4_K", "Q6_K", "sparse")
    slices = [f"{'ab'[number % 2]}[{begin}:{end}]" for number, (begin, end) in enumerate(BOUNDS)]
    spec, out = write_spec(home / "goliath.yml", slices), home / "out.gguf"
    looks = alternate(times, partial(_prepare, out), stacker=partial(run, *STACKER, "inspect", str(home / "a.gguf")))
    yield at_most("looking at a file of 70B with 128,256 tokens", seconds(looks["stacker"]), 0.4, "s")
    runs = alternate(times, partial(_prepare, out), stacker=partial(_build, spec, out))["stacker"]
    yield Row("Goliath as Q4_K_M: size", f"{out.stat().st_size / 1e9:.1f} GB")
    yield at_most("Goliath as GGUF, sparse", seconds(runs), 10, "s", 2, f" of {spread(runs)}")
    yield at_most("resident memory", peak(runs) / 1e6, 150, "MB", 0)


def _measure_copies(times: int, home: Path) -> Iterator[Row]:
    for name in ("a", "b"):
        _write(home / f"{name}.gguf", "8B", "Q4_K", "Q4_K")
    spec, out = write_spec(home / "copy.yml", ["a[0:16]", "b[8:24]", "a[20:30]"]), home / "out.gguf"
    reference = home / "reference.gguf"
    _build(spec, reference)
    copy = partial(run, "sh", "-c", f"cp --reflink=never {reference} {out} && sync")
    runs = alternate(times, partial(_prepare, out), stacker=partial(_build, spec, out), cp=copy)
    size = reference.stat().st_size / 1e9
    yield from (Row(f"Q4_K passthrough to {size:.1f} GB: {name}", spread(found)) for name, found in runs.items())
    yield at_most("stacker / (cp + sync)", seconds(runs["stacker"]) / seconds(runs["cp"]), 1.15, "×")
    yield at_most("resident memory", peak(runs["stacker"]) / 1e6, 80, "MB", 0)


def _measure_blend(times: int, home: Path) -> Iterator[Row]:
    for name in ("a", "b"):
        _write(home / f"{name}.gguf", "3B", "Q8_0", "Q8_0")
    items = ["{blend: ['a[0:24]', 'b[0:24]'], op: linear, weight: 0.5}"]
    spec, out = write_spec(home / "blend.yml", items), home / "out.gguf"
    runs = alternate(times, partial(_prepare, out), stacker=partial(_build, spec, out))["stacker"]
    size = out.stat().st_size / 1e9
    yield at_least(f"Q8_0 linear to {size:.1f} GB", size / seconds(runs), 0.5, "GB/s", 2, f" in {spread(runs)}")
    yield at_most("resident memory", peak(runs) / 1e6, 300, "MB", 0)
