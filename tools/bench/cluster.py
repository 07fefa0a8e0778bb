"""What the driver of a cluster does for a stack of 1T parameters, and Ray against threads of one machine."""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.bench import contenders, donors, million, passthrough
from tools.bench.contenders import Slice
from tools.bench.measure import STACKER, Bench, Row, alternate, at_most, megabytes, peak, remove, run, seconds, spread

_RECIPES = Path(__file__).parents[2] / "slices"
_NESTED = ("bigllama-3.1-1t", "bigllama-3.1-681b")
_START = """
import time
import ray
ray.init(log_to_driver=False, logging_level="ERROR")
ray.get([ray.remote(lambda: time.sleep(0.1)).remote() for _ in range(2)])
ray.shutdown()
"""
"""A program that starts Ray and its workers on this machine, and ends them."""


def measure_plan(bench: Bench) -> Iterator[Row]:
    """Time and memory of reading, planning and cutting a nested stack of 1T parameters from sparse donors."""
    spec = _write_nested(bench.scratch)
    runs = [run(sys.executable, "-m", "tools.bench.cluster", spec) for _ in range(bench.times)]
    told = json.loads(runs[-1].output)
    yield Row(
        "a nested stack of 1T parameters, sparse donors", f"{told['bytes'] / 1e12:.2f} TB in {told['shards']} shards"
    )
    yield at_most("read, check, plan, and cut it into tasks of a cluster", seconds(runs), 10, "s")
    yield at_most("resident memory of the driver", peak(runs) / 1e6, 500, "MB", 0)
    yield Row("what is sent to the workers", f"{told['sent'] / told['shards'] / 1e3:.0f} kB a shard")


def _write_nested(scratch: Path) -> Path:
    """Write the packaged recipes of the 1T stack with a sparse donor of 405B parameters as their donor."""
    donor = donors.make_donor(scratch / "llama-405b", donors.LLAMA_405B, None)
    for name in _NESTED:
        text = (_RECIPES / f"{name}.yaml").read_text()
        text = re.sub(r"\{source: .*\}", str(donor), text)
        (scratch / f"{name}.yaml").write_text(text)
    return scratch / f"{_NESTED[0]}.yaml"


def measure_million(bench: Bench) -> Iterator[Row]:
    """Time and memory of reading, planning and cutting a stack of a million tensors."""
    donor, spec = bench.scratch / "experts", bench.scratch / "million.yml"
    if not (donor / "config.json").exists():
        run(sys.executable, "-m", "tools.bench.million", donor)
    repeat = f"{{repeat: 'a[0:{million.LAYERS}]', times: {million.PASSES}}}"
    spec.write_text(
        f"stacker: 1\nname: million\ndonors: {{a: {donor}}}\nstack:\n  - {repeat}\noutput: {{shard_size: 100MB}}\n"
    )
    runs = [run(sys.executable, "-m", "tools.bench.cluster", spec) for _ in range(bench.times)]
    told = json.loads(runs[-1].output)
    yield Row("a stack of many experts", f"{told['tensors']:,} tensors in {told['shards']} shards")
    yield Row("read, check, plan, and cut it into tasks of a cluster", spread(runs))
    yield Row("resident memory of the driver", megabytes(peak(runs)))


def measure_ray(bench: Bench) -> Iterator[Row]:
    """Time of the stack of 4.4 GB on Ray, started on this machine, against threads; and what each task adds."""
    slices = passthrough.make_five_slices(*passthrough.make_two_donors(bench.scratch))
    spec, out = contenders.write_stack(bench.scratch / "stack.yml", slices), bench.scratch / "out"
    prepare = partial(contenders.prepare, out)
    start = seconds([run(sys.executable, "-c", _START) for _ in range(bench.times)])
    words = (*STACKER, "build", str(spec), str(out), "--quiet", "--shard-size", "500MB")
    runs = alternate(bench.times, prepare, local=partial(run, *words), ray=partial(run, *words, "--executor", "ray"))
    local, on_ray = seconds(runs["local"]), seconds(runs["ray"])
    yield Row("local, two workers, shards of 500 MB", f"{local:.1f} s")
    yield Row("start of Ray and of its workers", f"{start:.1f} s")
    yield at_most("Ray without its start, against local", (on_ray - start) / local, 1.3, "×")
    yield _measure_task(bench, start)
    remove(out)


def _measure_task(bench: Bench, start: float) -> Row:
    """What each task adds: a stack of many tiny shards on Ray, against threads; `start` is the time that Ray takes."""
    donor, out = donors.make_donor(bench.scratch / "tiny", donors.TINY, 1), bench.scratch / "out"
    spec = contenders.write_stack(bench.scratch / "tiny.yml", [Slice(donor, 0, donors.TINY.layers)])
    words = (*STACKER, "build", str(spec), str(out), "--quiet", "--shard-size", "100kB")
    prepare = partial(contenders.prepare, out)
    runs = alternate(bench.times, prepare, local=partial(run, *words), ray=partial(run, *words, "--executor", "ray"))
    shards = len(list(out.glob("*.safetensors")))
    added = (seconds(runs["ray"]) - start - seconds(runs["local"])) / shards
    return at_most(f"what each of {shards} tasks adds", added * 1e3, 50, "ms", 0)


def _tell(spec: Path) -> None:
    """Print how many shards and bytes a stack has, and how many bytes its tasks take on the way to workers."""
    from stacker.compose import load
    from stacker.core.plan.task_making import make_tasks
    from stacker.core.values.donor import collect_donors
    from stacker.run.parts import cut_into_shards

    stack = load(spec)
    plan = stack.plan()
    tasks = make_tasks(plan, collect_donors(stack.donors))
    pieces = cut_into_shards(plan, tasks, range(len(plan.shards)))
    sent = sum(len(pickle.dumps(piece)) for piece in pieces)
    told = {"shards": len(plan.shards), "tensors": len(plan.steps), "bytes": plan.total_size, "sent": sent}
    print(json.dumps(told))


if __name__ == "__main__":
    _tell(Path(sys.argv[1]))
