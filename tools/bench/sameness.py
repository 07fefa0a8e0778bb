"""Output tensors have the same bytes for any shard size, any number of threads, and after interruptions."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.blends import BLENDS, TASK_VECTORS, blend_of
from tools.bench.measure import STACKER, Bench, BenchError, Row, remove


def measure(bench: Bench) -> Iterator[Row]:
    """Build each blend in five ways, and count how many different results there are."""
    first, second, base = (donors.make_donor(bench.scratch / f"small-{seed}", donors.SMALL, seed) for seed in (1, 2, 3))
    out = bench.scratch / "same"
    for case in (*BLENDS, *TASK_VECTORS):
        spec = contenders.write_blend(bench.scratch / f"same-{case.op}.yml", blend_of(case, (first, second), base))
        text = spec.read_text()
        found = {}
        for threads in ("1", "8"):
            for shard_size in ("5GB", "7MB"):
                spec.write_text(f"{text}output: {{shard_size: {shard_size}}}\n")
                remove(out)
                contenders.build(spec, out, "--workers", threads)
                found[f"{threads} threads, {shard_size}"] = digests(out)
        remove(out)
        stops = _interrupted(spec, out)
        found["interrupted"] = digests(out)
        kinds = len({json.dumps(one, sort_keys=True) for one in found.values()})
        note = f"{len(found)} builds, one of them killed {stops} times"
        yield Row(f"{case.op}: different outcomes in {note}", str(kinds), "1", kinds == 1)
    remove(out)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the bytes of every tensor in a folder's shards, by tensor name."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
            for name, entry in entries.items():
                if name != "__metadata__":
                    start, stop = entry["data_offsets"]
                    file.seek(8 + length + start)
                    found[name] = hashlib.sha256(file.read(stop - start)).hexdigest()
    return found


def _interrupted(spec: Path, out: Path) -> int:
    """Build and kill the build, each time a little later, until a build finishes; returns the number of kills."""
    stops = 0
    while not out.exists():
        process = subprocess.Popen([*STACKER, "build", str(spec), str(out), "--quiet"])
        try:
            status = process.wait(timeout=0.4 + 0.01 * stops)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            stops += 1
            continue
        if status:
            raise BenchError(f"after {stops} interruptions the build of {spec.name} ended with exit code {status}")
    return stops
