"""Live stacks of a real language model against building, loading and running the same stacks.

The program (`python -m tools.bench.live CASE FOLDER TIMES`) runs apart and takes the time after all imports.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tools import smollm2
from tools.bench.donors import MIDDLE, make_donor
from tools.bench.measure import Bench, BenchError, Row, at_least, at_most, megabytes, remove, run

LAYERS, SELF = ("donor[0:20]", "donor[10:30]"), tuple(f"donor[{start}:{start + 8}]" for start in range(0, 24, 4))
TOKENS, TEXTS = 256, 8


def measure(bench: Bench) -> Iterator[Row]:
    """Time to the first scored token, private memory, bytes written, rearranged candidates, and streaming."""
    try:
        donor = smollm2.make_donor(bench.scratch / "smollm2")
    except smollm2.MissingPackageError as error:
        raise BenchError(str(error)) from error
    larger = make_donor(bench.scratch / "middle", MIDDLE, 0)
    for name, folder, least in (("SmolLM2, 40 layers", donor, 2), ("2.7 GB, 32 layers", larger, 2)):
        found = run_apart(__name__, "first", folder, bench.times)
        yield Row(f"{name}: live, to the first scored token", f"{found['live']:.2f} s")
        ratio, note = found["built"] / found["live"], f" of {found['built']:.2f} s"
        yield at_least("build + load + score / live", ratio, least, "×", 1, note)
    found = run_apart(__name__, "memory", donor, 1)
    yield at_most("private memory of a live 40-layer SmolLM2", found["private"] / 1e6, 60, "MB", 0)
    yield at_most("bytes of weights written", found["written"], 0, "bytes", 0)
    yield at_most("weights of 48 layers of 24 / of the donor", found["stack"] / found["donor"], 1.1, "×", 2)
    found = run_apart(__name__, "sweep", donor, bench.times)
    for case, what in CANDIDATES.items():
        yield Row(f"from a spec to its first scored token, rearranged: {what}", f"{found[case] * 1000:.0f} ms")
        ratio, note = found[f"{case}-anew"] / found[case], f" of {found[f'{case}-anew']:.2f} s"
        yield at_least("the same by build, load and score / rearranged", ratio, 5, "×", 1, note)
    found = run_apart(__name__, "streamed", donor, bench.times)
    what = f"streamed / resident, {TEXTS * TOKENS:,} tokens"
    yield at_most(what, found["streamed"] / found["resident"], 1.1, "×", 2, f" of {found['resident']:.2f} s")
    yield Row("weights in memory while streamed", megabytes(found["window"]))


def run_apart(module: str, *words: object) -> dict[str, float]:
    """What a program of this package prints."""
    found: dict[str, float] = json.loads(run(sys.executable, "-m", module, *map(str, words)).output)
    return found


def write_spec(folder: Path, items: tuple[Any, ...], name: str = "live") -> Path:
    """A spec of one donor, in the folder beside it."""
    path = folder.parent / f"{name}-{folder.name}.yml"
    entries = {"stacker": 1, "name": name, "donors": {"donor": str(folder)}, "stack": list(items)}
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def time_first(folder: Path, times: int) -> dict[str, float]:
    """Median seconds from the spec to the loss of one token, live and by a build that transformers loads."""
    from transformers import AutoModelForCausalLM

    import stacker

    items = LAYERS if (folder / "tokenizer.json").exists() else ("donor[0:16]", "donor[8:24]")
    spec, out = write_spec(folder, items), folder.parent / "live-out"

    def live() -> None:
        _score(stacker.load(spec).live_stack().model)

    def built() -> None:
        stacker.load(spec).build(out)
        _score(AutoModelForCausalLM.from_pretrained(out, dtype="auto"))

    live()
    found = _alternate(times, lambda: remove(out), live=live, built=built)
    remove(out)
    return found


def measure_memory(folder: Path, _times: int) -> dict[str, float]:
    """Bytes of private memory that a live stack adds, bytes written, and bytes of weights of stack and donor."""
    import stacker
    from stacker.compose import draw_blueprint
    from stacker.live.forecast.memory import predict_memory

    donor = stacker.load(write_spec(folder, ("donor",), "whole"))
    spec = write_spec(folder, LAYERS)
    donor.live_stack()
    gc.collect()
    before, written = _read_number("smaps_rollup", "Anonymous") * 1024, _read_number("io", "write_bytes")
    live = stacker.load(spec).live_stack()
    after = _read_number("smaps_rollup", "Anonymous") * 1024
    written = _read_number("io", "write_bytes") - written
    stack = stacker.load(write_spec(folder, SELF, "self"))
    sizes = {name: predict_memory(draw_blueprint(each)).weights for name, each in (("stack", stack), ("donor", donor))}
    del live
    return {"private": after - before, "written": written, **sizes}


def _read_number(file: str, name: str) -> int:
    lines = Path(f"/proc/self/{file}").read_text(encoding="ascii").splitlines()
    return next(int(line.split(":")[1].split()[0]) for line in lines if line.startswith(f"{name}:"))


def time_sweep(folder: Path, times: int) -> dict[str, float]:
    """Median seconds to the loss of one token of the CANDIDATES, rearranged and built anew.

    BenchError if the losses of a candidate that is rearranged and of one that is built differ.
    """
    import torch
    from transformers import AutoModelForCausalLM

    import stacker

    torch.set_num_threads(1)  # of one token, more take longer
    live = stacker.load(write_spec(folder, LAYERS)).live_stack()
    specs = {
        case: [write_spec(folder, make(each), f"{case}-{each}") for each in range(max(times, 2))]
        for case, make in (("cut", _cut), ("depth", _lengthen), ("blend", _blend))
    }
    out = folder.parent / "live-out"
    turns = iter(range(1_000_000))

    def score(case: str) -> float:
        candidate = live.rearranged(specs[case][next(turns) % len(specs[case])])
        loss = _score(candidate.model)
        candidate.release()
        return loss

    def anew(case: str) -> float:
        stacker.load(specs[case][0]).build(out)
        return _score(AutoModelForCausalLM.from_pretrained(out, dtype="auto"))

    for case, found in specs.items():
        if _score(live.rearranged(found[0]).model) != anew(case):
            raise BenchError(f"{found[0].name}: the loss of the rearranged stack is not that of the built one")
        remove(out)
    actions = {case: partial(score, case) for case in specs} | {f"{case}-anew": partial(anew, case) for case in specs}
    medians = _alternate(times, lambda: remove(out), **actions)
    remove(out)
    return medians


CANDIDATES = {
    "cut": "another cut of 40 layers",
    "depth": "a depth that was not there before",
    "blend": "other weights of a blend in three of 40 layers",
}


def _cut(number: int) -> tuple[Any, ...]:
    cut = 10 + number % 20
    return (f"donor[0:{cut}]", f"donor[{cut - 10}:30]")


def _lengthen(number: int) -> tuple[Any, ...]:
    return (f"donor[0:{4 + number % 26}]", "donor[10:30]")


def _blend(number: int) -> tuple[Any, ...]:
    weight = (number + 1) / 100
    sources = [{"slice": "donor[16:19]", "weight": 1 - weight}, {"slice": "donor[17:20]", "weight": weight}]
    return ("donor[0:17]", {"blend": sources, "op": "linear"}, "donor[10:30]")


def _score(model: Any) -> float:
    """The loss of one token."""
    import torch

    tokens = torch.tensor([[5, 6]])
    with torch.no_grad():
        return float(model(tokens, labels=tokens).loss)


def time_streamed(folder: Path, times: int) -> dict[str, float]:
    """Median seconds of a pass with all layers in memory and with streamed layers, and the bytes of the window."""
    import torch

    import stacker
    from stacker.compose import draw_blueprint
    from stacker.live.forecast.memory import predict_memory

    torch.set_num_threads(1)
    stack = stacker.load(write_spec(folder, LAYERS))
    window = predict_memory(draw_blueprint(stack)).streamed
    tokens = torch.arange(TEXTS * TOKENS).reshape(TEXTS, TOKENS)
    models = {"resident": stack.live_stack().model, "streamed": stack.live_stack(max_memory=window).model}

    def score(name: str) -> Callable[[], object]:
        def run_pass() -> object:
            with torch.no_grad():
                return models[name](tokens, use_cache=False, logits_to_keep=1)

        return run_pass

    passes = {name: score(name) for name in models}
    for each in passes.values():
        each()
    return _alternate(times, gc.collect, **passes) | {"window": window}


def _alternate(times: int, prepare: Callable[[], object], **actions: Callable[[], object]) -> dict[str, float]:
    """The median seconds of each action; they take turns, and `prepare` is called before each and not measured."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(times):
        for name, action in actions.items():
            prepare()
            start = time.perf_counter()
            action()
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in found.items()}


CASES = {"first": time_first, "memory": measure_memory, "sweep": time_sweep, "streamed": time_streamed}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
