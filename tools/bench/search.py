"""Searches of a real language model: candidates a minute, time outside the model's arithmetic, memory, a planted truth.

The program (`python -m tools.bench.search CASE FOLDER`) runs apart, and takes times after the donors are loaded.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tools import smollm2
from tools.bench.measure import Bench, BenchError, Row, at_least, at_most, megabytes, run

PASSAGES, WINDOW = 16, 512
LENGTH = 150_000
"""Characters of the text."""
CANDIDATES = 8
DAMAGED = 17
"""The layer that is noise in the donor of the planted truth."""
MOST = 200
SEEDS = 3


def measure(bench: Bench) -> Iterator[Row]:
    """Candidates a minute of blends and of orders, and how many candidates it takes to get around a damaged layer."""
    try:
        donor = smollm2.make_donor(bench.scratch / "smollm2")
    except smollm2.MissingPackageError as error:
        raise BenchError(str(error)) from error
    tokens = f"{PASSAGES * WINDOW:,} tokens"
    for case, what in (("blends", "blends of two donors"), ("orders", "orders of the layers of two donors")):
        found = _run_apart(case, donor)
        note = f" ({found['cpu']:.1f} s of CPU each)"
        yield at_least(f"{what}, {tokens}: candidates a minute", found["minute"], 16, "", 1, note)
        yield at_most("time outside the model's arithmetic", found["outside"] * 100, 15, "%", 0)
        yield Row("private memory beyond the donors' files", megabytes(found["memory"]))
        limit = 500 + found["weights"] / 1e6
        yield at_most("the same, at most one model and 500 MB", found["memory"] / 1e6, limit, "MB", 0)
    found = _run_apart("planted", donor)
    yield at_most(
        f"candidates until a layer of noise is avoided, the most of {SEEDS} seeds", found["candidates"], MOST, "", 0
    )


def _run_apart(case: str, folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(run(sys.executable, "-m", __name__, case, folder).output)
    return found


def make_other(donor: Path, name: str, change: Callable[[str, Any], Any]) -> Path:
    """A copy of a donor whose tensors are changed by a function of their names and values."""
    from safetensors.torch import load_file, save_file

    folder = donor.with_name(name)
    if not (folder / "model.safetensors").exists():
        shutil.copytree(donor, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
        tensors = load_file(donor / "model.safetensors")
        changed = {key: change(key, value).contiguous() for key, value in tensors.items()}
        save_file(changed, folder / "model.safetensors", {"format": "pt"})
    return folder


def _shake(_name: str, value: Any) -> Any:
    import torch

    torch.manual_seed(value.numel())
    return value + (0.02 * value.float().std() * torch.randn(value.shape)).to(value.dtype)


def _damage(name: str, value: Any) -> Any:
    import torch

    if f".layers.{DAMAGED}." not in name or value.ndim < 2:
        return value
    torch.manual_seed(value.numel())
    return (value.float().std() * torch.randn(value.shape)).to(value.dtype)


def write_spec(folder: Path, name: str, donors: dict[str, Path], **entries: Any) -> Path:
    """A spec of donors in a folder."""
    path = folder / f"{name}.yml"
    named = {key: str(value) for key, value in donors.items()}
    path.write_text(json.dumps({"stacker": 1, "name": name, "donors": named, **entries}), encoding="utf-8")
    return path


def time_candidates(donor: Path, case: str) -> dict[str, float]:
    """Figures of candidates of two donors: how many a minute, CPU seconds, the share outside arithmetic, memory.

    The first one is not counted, because the windows are drawn and the start is measured with it.
    """
    from stacker.search.results import Trial

    evaluator, proposals = _prepare(donor, case)
    inside = _time_reading()
    trials: list[Trial] = []
    marks: list[tuple[float, float, float]] = []
    for number, proposal in enumerate(proposals):
        found = evaluator.measure(proposal.point, 0, trials)
        trials.append(Trial(number, case, 0, proposal, found))
        marks.append((time.perf_counter(), time.process_time(), inside[0]))
    (first, cpu, busy), (last, cpu_end, busy_end) = marks[0], marks[-1]
    return {
        "minute": 60 * (len(marks) - 1) / (last - first),
        "cpu": (cpu_end - cpu) / (len(marks) - 1),
        "outside": 1 - (busy_end - busy) / (cpu_end - cpu),
        "memory": read_private(),
        "weights": (donor / "model.safetensors").stat().st_size,
    }


def _prepare(donor: Path, case: str) -> tuple[Any, Any]:
    """An evaluator of candidates, and proposals of the strategy that would be asked."""
    import stacker
    from stacker.measure.states.allocation import keep_memory
    from stacker.measure.texts import read_passages
    from stacker.search.evaluation.known_states import KnownStates
    from stacker.search.evaluation.live_evaluator import Course, LiveEvaluator
    from stacker.search.evaluation.objectives import LOSS
    from stacker.search.evaluation.windows import CHARACTERS, split_texts
    from stacker.search.strategies.cma import Cma
    from stacker.search.strategies.seeds import list_seeds

    keep_memory()
    donors = {"a": donor, "b": make_other(donor, "smollm2-shaken", _shake)}
    spec = _write_case(donor.parent, case, donors)
    start = stacker.load(spec)
    live = stacker.load(_write_case(donor.parent, "orders", donors)).live_stack()
    passages = read_passages([write_text(donor.parent)], WINDOW * CHARACTERS)
    part = split_texts({"topics": passages}, live.load_tokenizer(), WINDOW, PASSAGES)["search"]
    space: Any = stacker.load_space(spec, arrange=case == "orders")
    known = KnownStates(live) if case == "orders" else None
    evaluator = LiveEvaluator(space.decode, start, live, Course(part, (LOSS,), PASSAGES, 0), known)
    asked = list_seeds(space) if case == "orders" else Cma(space, space.start, 0, CANDIDATES).ask()
    return evaluator, asked[:CANDIDATES]


def _time_reading() -> list[float]:
    """Let the function that runs models add its CPU seconds to the returned number."""
    from stacker.search.evaluation import reading, readings

    spent, own = [0.0], reading.read_heat

    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        found = own(*arguments)
        spent[0] += time.process_time() - start
        return found

    for module in (reading, readings):
        setattr(module, "read_heat", timed)  # noqa: B010 - mypy knows the function's type
    return spent


def _write_case(folder: Path, case: str, donors: dict[str, Path]) -> Path:
    if case == "orders":
        return write_spec(folder, case, donors, stack=["a"])
    blend = {"blend": ["a", "b"], "op": "linear", "weight": "${t}"}
    ranged = {"t": {"value": 0.5, "range": [0.1, 1.0]}}
    return write_spec(folder, case, donors, parameters=ranged, stack=[blend], embed=blend, head=blend)


def count_planted(donor: Path) -> dict[str, float]:
    """How many candidates a search of orders tries until one avoids the damaged layer and is better than the start.

    That is the most of SEEDS searches, each of which ends there.
    """
    broken = make_other(donor, "smollm2-damaged", _damage)
    spec = write_spec(donor.parent, "planted", {"broken": broken, "healthy": donor}, stack=["broken"])
    return {"candidates": max(_count_until_avoided(spec, seed) for seed in range(SEEDS))}


class _AvoidedError(Exception):
    """Ends a search whose last candidate avoids the damaged layer."""


def _count_until_avoided(spec: Path, seed: int) -> int:
    seen: list[Any] = []

    def tell(trials: Any) -> None:
        seen[:] = trials
        avoided = all(run[0] != "broken" or not run[1] <= DAMAGED < run[2] for run in trials[-1].point)
        if avoided and trials[-1].values and trials[-1].values[0] < 0:
            raise _AvoidedError

    try:
        _search_orders(spec, seed, tell)
    except _AvoidedError:
        return len(seen)
    return MOST + 1


def _search_orders(spec: Path, seed: int, tell: Any) -> None:
    """Search at most MOST orders on short passages."""
    from stacker.search.limits import Limit
    from stacker.searching.options import SearchOptions
    from stacker.searching.pipeline import run_search
    from stacker.searching.preparation import prepare

    texts, limit = (write_text(spec.parent),), Limit(candidates=MOST)
    options = SearchOptions(
        texts, spec.parent / "best.yml", limit=limit, arrange=True, seed=seed, passages=8, window=128
    )
    run_search(prepare(spec, options), tell, lambda _line: None)


def write_text(folder: Path) -> Path:
    """A text of English prose about Python."""
    path = folder / "search.txt"
    path.write_text("\n\n".join(topics[name] for name in sorted(topics))[:LENGTH], encoding="utf-8")
    return path


def read_private() -> float:
    """The bytes of this process's memory that are no unchanged pages of files."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Private_Dirty:")).split()[1])


CASES: dict[str, Callable[[Path], dict[str, float]]] = {
    "blends": lambda donor: time_candidates(donor, "blends"),
    "orders": lambda donor: time_candidates(donor, "orders"),
    "planted": count_planted,
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]))))
