"""Builds random specs: killed once at random, resumed, verified, and compared with fp64 arithmetic on whole tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.e2e.naive import find_differences
from tests.e2e.random_stacks import write_donors, write_stack
from tools.faults.attempts import Place, clear, read_content, run
from tools.faults.injector import Action, Calls, Fault, Injector
from tools.faults.rows import Trial
from tools.faults.scenes import record_often

COUNT = 500
_KILL = Fault("SIGKILL", Action.KILL, Calls.WRITE)
_NEVER = 1 << 30


def build_random_specs(folder: Path) -> Iterator[Trial]:
    """Every kind of item, nested specs, output types and shard sizes."""
    attack = "killed once, resumed, verified, compared with fp64 arithmetic"
    yield Trial("random specs", attack, partial(_try_specs, folder))


def _try_specs(folder: Path) -> Iterator[str]:
    write_donors(folder)
    record_often()
    for seed in range(COUNT):
        yield _try_spec(folder, seed)


def _try_spec(folder: Path, seed: int) -> str:
    """What is wrong with the builds of one random spec; "" if nothing."""
    clear(folder)
    spec = write_stack(folder, seed)
    words = ("build", "stack.yml", "out", "--workers", str(1 + seed % 3))
    injector, source = Injector(), random.Random(seed)
    ended = run(folder, words, partial(injector.arm, folder, _KILL, _NEVER))
    right = read_content(folder / "out")
    if ended.code or right is None:
        return f"spec {seed} cannot be built:\n{ended.text}"
    if wrong := find_differences(folder, spec, folder / "out"):
        return f"spec {seed}: tensors differ from fp64 arithmetic: {', '.join(wrong)}"
    number = source.randrange(injector.count_calls())
    clear(folder)
    run(folder, words, partial(injector.arm, folder, _KILL, number))
    return _describe(seed, number, _finish(Place(folder, words, right)))


def _finish(place: Place) -> str:
    """What is wrong about the build that goes on, and about what `verify` says of it; "" if nothing."""
    if read_content(place.out) is None:
        ended = run(place.folder, place.words)
        if ended.code:
            return f"the next build ends with {ended.code}:\n{ended.text}"
    if read_content(place.out) != place.right:
        return "the resumed build differs from the undisturbed one"
    checked = run(place.folder, ("verify", "out"))
    return f"verify ends with {checked.code}:\n{checked.text}" if checked.code else ""


def _describe(seed: int, number: int, wrong: str) -> str:
    return f"spec {seed}, killed at call {number}: {wrong}" if wrong else ""
