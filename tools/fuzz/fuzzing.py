"""Feeds mutated inputs to a target for some seconds, and reports the first that does more than raise a StackerError."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from stacker.errors import StackerError
from tools.fuzz.mutations import mutate
from tools.fuzz.targets import Target

SLOWEST = 5.0
"""Seconds after which an input counts as a defect; far more than a refusal takes, because the machine may be busy."""


@dataclass(frozen=True, slots=True)
class Defect:
    """An input that a target does not refuse as it should, and what it does instead."""

    data: bytes
    what: str


def fuzz(target: Target, corpus: Iterable[bytes], seconds: float, seed: int = 0) -> tuple[int, Defect | None]:
    """Try the seeds and the corpus, then mutations of them; returns how many inputs were tried, and a defect if any."""
    source = random.Random(f"{target.name} {seed}")
    inputs = [*target.seeds, *corpus]
    tried, end = 0, time.monotonic() + seconds
    for data in inputs:
        tried += 1
        if what := find_fault(target, data):
            return tried, Defect(data, what)
    while time.monotonic() < end:
        data = mutate(source.choice(inputs), source)
        tried += 1
        if what := find_fault(target, data):
            return tried, Defect(data, what)
    return tried, None


def find_fault(target: Target, data: bytes) -> str:
    """What is wrong about how a target treats an input; "" if it reads the input or refuses it in time."""
    start = time.monotonic()
    try:
        with suppress(StackerError):
            target.read(data)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - start
    return f"it takes {seconds:.1f} s" if seconds > SLOWEST else ""
