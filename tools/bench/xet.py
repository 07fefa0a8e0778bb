"""How many bytes of a stack are new to the hub, whose storage (Xet) stores each chunk of all files once.

The chunks are made by hf_xet itself, and stored in a folder of this machine instead of a server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.bench import contenders
from tools.bench.contenders import BlendOf, Slice
from tools.bench.measure import Bench, Row, remove, run
from tools.bench.passthrough import make_five_slices, make_two_donors

_UPLOAD = """
import sys
import hf_xet
commit = hf_xet.XetSession().new_upload_commit(endpoint="local://" + sys.argv[1])
for path in sys.argv[2:]:
    commit.start_upload_file(path, sha256=hf_xet.COMPUTE_SHA256)
found = commit.wait_to_finish().dedup_metrics
print(found.new_bytes, found.total_bytes)
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Upload two donors of 2.7 GB, then stacks of them in several layouts, each after those before it, and a blend."""
    first, second = make_two_donors(bench.scratch)
    store = bench.scratch / "xet-store"
    remove(store)
    store.mkdir()
    _upload(store, [first, second])
    slices = make_five_slices(first, second)
    for layout in ("plain", "clone"):
        for size in ("5GB", "1GB"):
            share, new = _upload_stack(bench, store, slices, "--layout", layout, "--shard-size", size)
            what = f"new bytes of a stack of 4.4 GB on the hub, layout {layout}, shards of {size}"
            yield Row(what, f"{new / 1e6:.1f} MB ({share:.2%})", "≤ 1 %", share <= 0.01)
    blend = BlendOf("linear", (first, second), None, {"weight": 1}, {})
    share, new = _build_and_upload(bench, store, contenders.write_blend(bench.scratch / "xet-blend.yml", blend))
    yield Row("new bytes of a linear blend of 2.7 GB on the hub", f"{new / 1e6:.0f} MB ({share:.0%})")
    remove(store)


def _upload_stack(bench: Bench, store: Path, slices: Sequence[Slice], *options: str) -> tuple[float, int]:
    return _build_and_upload(bench, store, contenders.write_stack(bench.scratch / "xet-stack.yml", slices), *options)


def _build_and_upload(bench: Bench, store: Path, spec: Path, *options: str) -> tuple[float, int]:
    out = bench.scratch / "out"
    remove(out)
    contenders.build(spec, out, *options)
    found = _upload(store, [out])
    remove(out)
    return found


def _upload(store: Path, folders: Sequence[Path]) -> tuple[float, int]:
    """The share of new bytes in the weights of some folders, and how many bytes these are; afterwards none is new."""
    weights = [str(path) for folder in folders for path in sorted(folder.glob("*.safetensors"))]
    home = {"HF_HOME": str(store / "home"), "HF_XET_CACHE": str(store / "cache")}
    new, total = map(int, run(sys.executable, "-c", _UPLOAD, str(store), *weights, environment=home).output.split())
    return new / total, new
