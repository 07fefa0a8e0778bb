"""`build --stream` from a hub on this machine, compared with `curl` of the same ranges to files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tools.bench import contenders
from tools.bench.contenders import Slice
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
    spread,
)
from tools.bench.passthrough import make_five_slices, make_two_donors


def measure(bench: Bench) -> Iterator[Row]:
    """Time and memory of a streamed build of 4.4 GB, and the time of `curl` for the same ranges."""
    contenders.require("curl", "curl")
    first, second = make_two_donors(bench.scratch)
    spec = _write_spec(bench.scratch / "stream.yml", make_five_slices(first, second))
    out, fetched, log = bench.scratch / "out", bench.scratch / "fetched", bench.scratch / "ranges.txt"
    remove(out)
    with _serving(bench.scratch, log) as endpoint:
        hub = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint, "HF_HOME": str(bench.scratch / "hf-home")}
        build = partial(run, *STACKER, "build", spec, out, "--quiet", "--stream", environment=hub)
        build()
        config = bench.scratch / "curl.txt"
        config.write_text("next\n".join(_list_transfers(log, endpoint, fetched)), encoding="utf-8")
        runs = alternate(
            bench.times,
            partial(_prepare, out, fetched, first, second),
            stacker=build,
            curl=partial(_fetch, config, fetched),
        )
    yield from (Row(f"streamed build of 4.4 GB: {name}", spread(found)) for name, found in runs.items())
    yield at_least("curl of the same ranges / stacker", seconds(runs["curl"]) / seconds(runs["stacker"]), 0.7, "×", 2)
    yield at_most("resident memory of the streamed build", peak(runs["stacker"]) / 1e6, 100, "MB", 0)
    for folder in (out, fetched):
        remove(folder)


def _write_spec(path: Path, slices: Sequence[Slice]) -> Path:
    names = dict.fromkeys(one.donor.name for one in slices)
    lines = ["stacker: 1", "name: stream", "donors:", *(f"  {name}: bench/{name}" for name in names), "stack:"]
    lines += [f"  - {one.donor.name}[{one.start}:{one.stop}]" for one in slices]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def _serving(folder: Path, log: Path) -> Iterator[str]:
    """Run a hub that serves the donors in `folder`, and yield its address."""
    command = [sys.executable, "-m", "tools.bench.range_server", str(folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def _list_transfers(log: Path, endpoint: str, fetched: Path) -> Iterator[str]:
    """For each range that a build has requested, the lines of a config that makes curl fetch it into a file."""
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines()):
        path, begin, end = line.split()
        lines = f'url = "{endpoint}{path}"', f"range = {begin}-{int(end) - 1}", f'output = "{fetched}/{number}"'
        yield "\n".join((*lines, "silent", "fail", ""))


def _fetch(config: Path, fetched: Path) -> Run:
    """Fetch ranges with curl, eight at a time, and `sync` the files, as stacker does its own."""
    fetched.mkdir()
    script = 'curl --parallel --parallel-max 8 --config "$1" && sync "$2"/*'
    return run("sh", "-c", script, "curl", config, fetched)


def _prepare(out: Path, fetched: Path, *warm: Path) -> None:
    remove(fetched)
    contenders.prepare(out, *warm)
