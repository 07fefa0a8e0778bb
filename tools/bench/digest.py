"""The cost of protecting a build: digests of tensors and shards, and the check of a resumed build."""

from __future__ import annotations

import hashlib
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders
from tools.bench.contenders import BlendOf
from tools.bench.measure import Bench, Row, Run, alternate, at_most, remove, run, seconds, settle, spread
from tools.bench.passthrough import make_five_slices, make_two_donors

_PIECE = 1 << 20
"""The length in bytes of the pieces that are hashed: a tile of 2^19 elements in bf16."""
_WITHOUT_DIGESTS = """
from stacker.run.compute import digests
from stacker.cli import program
digests._digest_chunk = lambda *_: 0
program()
"""
_UNCOMMITTED = """
import os
from stacker.cli import program
from stacker.io.output.folder import Output
Output.commit = lambda output: os._exit(0)
program()
"""


def measure(bench: Bench) -> Iterator[Row]:
    """The speed of hash functions, and builds with and without digests."""
    yield from (
        Row(f"{name}, one thread", f"{_speed(function) / 1e9:.1f} GB/s") for name, function in _hashes().items()
    )
    first, second = make_two_donors(bench.scratch)
    out = bench.scratch / "out"
    blend = contenders.write_blend(
        bench.scratch / "digest-linear.yml", BlendOf("linear", (first, second), None, {"weight": 1}, {})
    )
    runs = alternate(
        bench.times,
        partial(contenders.prepare, out, first, second),
        digests=partial(contenders.build, blend, out),
        none=partial(_build_with, _WITHOUT_DIGESTS, blend, out),
    )
    yield from (Row(f"linear to 2.7 GB, {name}", spread(found)) for name, found in runs.items())
    yield at_most("linear: with digests in the journal / without", _ratio(runs, "digests", "none"), 1.05, "×", 3)
    spec = contenders.write_stack(bench.scratch / "digest-stack.yml", make_five_slices(first, second))
    runs = alternate(
        bench.times,
        partial(contenders.prepare, out, first, second),
        plain=partial(contenders.build, spec, out),
        sha256=partial(contenders.build, spec, out, "--digests"),
    )
    yield from (Row(f"passthrough to 4.4 GB, {name}", spread(found)) for name, found in runs.items())
    yield Row("passthrough: with --digests / without", f"{_ratio(runs, 'sha256', 'plain'):.2f} ×")
    for name, each in (("passthrough to 4.4 GB", spec), ("linear to 2.7 GB", blend)):
        unfinished = partial(_leave_unfinished, each, out, (first, second))
        resumed = alternate(bench.times, unfinished, resumed=partial(contenders.build, each, out))["resumed"]
        yield Row(f"{name}: all of it checked and kept by a resumed build", spread(resumed))
    remove(out)


def _ratio(runs: dict[str, list[Run]], one: str, other: str) -> float:
    return seconds(runs[one]) / seconds(runs[other])


def _build_with(program: str, spec: Path, out: Path) -> Run:
    return run(sys.executable, "-c", program, "build", spec, out, "--quiet")


def _leave_unfinished(spec: Path, out: Path, donors: tuple[Path, Path]) -> None:
    """Write everything of a build but do not give the output its name."""
    contenders.prepare(out, *donors)
    _build_with(_UNCOMMITTED, spec, out)
    settle()


def _hashes() -> dict[str, Callable[[bytes], object]]:
    import xxhash

    return {
        "XXH3 (128 bits)": lambda data: xxhash.xxh3_128_digest(data),
        "CRC-32 (zlib)": zlib.crc32,
        "SHA-256": lambda data: hashlib.sha256(data).digest(),
        "BLAKE2b": lambda data: hashlib.blake2b(data).digest(),
    }


def _speed(function: Callable[[bytes], object]) -> float:
    """Bytes per second of a hash function on pieces in the processor's cache; the best of five attempts."""
    data, best = bytes(range(256)) * (_PIECE // 256), 0.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(64):
            function(data)
        best = max(best, 64 * _PIECE / (time.perf_counter() - start))
    return best
