"""An fp8 checkpoint with block scales, read as bf16."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from tools.bench.measure import (
    STACKER,
    Bench,
    Row,
    alternate,
    at_least,
    peak,
    remove,
    run,
    seconds,
    settle,
    spread,
)

LAYERS = 8


def measure(bench: Bench) -> Iterator[Row]:
    """Speed, in bytes of the output, and memory."""
    home = bench.scratch / "dequantized"
    remove(home)
    home.mkdir()
    try:
        run(sys.executable, "-m", "tools.bench.fp8_donors", str(home / "a"), str(LAYERS))
        spec, out = home / "spec.yml", home / "out"
        spec.write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]\noutput: {dequantize: true}\n", encoding="utf-8")
        build = partial(run, "sh", "-c", f"{' '.join(STACKER)} build -q {spec} {out} && sync")

        def prepare() -> None:
            remove(out)
            settle()

        runs = alternate(bench.times, prepare, stacker=build)["stacker"]
        size = sum(file.stat().st_size for file in out.iterdir()) / 1e9
        what = f"fp8 dequantised to {size:.1f} GB of bf16"
        yield at_least(what, size / seconds(runs), 0.8, "GB/s", 2, f" in {spread(runs)}")
        yield Row("resident memory", f"{peak(runs) / 1e6:.0f} MB")
    finally:
        remove(home)
