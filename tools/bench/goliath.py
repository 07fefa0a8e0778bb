"""Goliath-120b at its true size: two sparse donors of 70B parameters become a stack of 137 layers and 235.5 GB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import Slice
from tools.bench.measure import (
    STACKER,
    Bench,
    Row,
    alternate,
    at_most,
    blocks,
    peak,
    remove,
    run,
    seconds,
    spread,
    used,
)

BOUNDS = ((0, 16), (8, 24), (17, 32), (25, 40), (33, 48), (41, 56), (49, 64), (57, 72), (65, 80))


def write_spec(scratch: Path) -> Path:
    """Write a spec with the published layer ranges over two sparse donors."""
    pair = [donors.make_donor(scratch / name, donors.LLAMA_70B, None) for name in ("xwin", "euryale")]
    slices = [Slice(pair[number % 2], *bounds) for number, bounds in enumerate(BOUNDS)]
    return contenders.write_stack(scratch / "goliath.yml", slices)


def measure(bench: Bench) -> Iterator[Row]:
    """Time, memory and disk space of a build of sparse files."""
    spec, out = write_spec(bench.scratch), bench.scratch / "out"
    prepare = partial(contenders.prepare, out)
    prepare()
    before = used(bench.scratch)
    runs = alternate(bench.times, prepare, stacker=partial(contenders.build, spec, out))["stacker"]
    size = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    yield Row("Goliath-120b, sparse: size of the stack", f"{size / 1e9:.1f} GB")
    yield at_most("time", seconds(runs), 15, "s", 2, f" of {spread(runs)}")
    yield at_most("resident memory", peak(runs) / 1e6, 150, "MB", 0)
    yield at_most("blocks of the stack's files", blocks(out) / 1e6, 100, "MB", 1)
    yield at_most("growth of the used disk space", (used(bench.scratch) - before) / 1e6, 100, "MB", 1)
    remove(out)


def measure_startup(bench: Bench) -> Iterator[Row]:
    """Time of `--help` and of a preview from headers, and whether either imports a heavy package."""
    spec = write_spec(bench.scratch)
    times = max(bench.times, 7)
    nothing = bench.scratch / "nothing"
    for words, limit in ((("--help",), 0.3), (("preview", str(spec)), 0.8)):
        shown = " ".join(Path(word).name for word in words)
        runs = alternate(times, partial(contenders.prepare, nothing), stacker=partial(run, *STACKER, *words))["stacker"]
        yield at_most(f"stacker {shown}", seconds(runs), limit, "s")
        yield Row("resident memory", f"{peak(runs) / 1e6:.0f} MB")
        yield _imports(words)


def _imports(words: tuple[str, ...]) -> Row:
    """A row that says which of numpy, numba, torch, transformers and accelerate a stacker command imports."""
    python, *module = STACKER
    lines = run(python, "-X", "importtime", *module, *words).errors.splitlines()
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    heavy = sorted(names & {"torch", "transformers", "accelerate", "numba", "numpy"})
    return Row("numpy, numba, torch, transformers imported", ", ".join(heavy) or "no", "no", not heavy)
