"""Bytes of an output that are not what they should be, gathered from many threads and told tensor by tensor."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stacker.core.plan.documents import index_json
from stacker.core.plan.plan import Plan, Step
from stacker.errors import Blame, Mark, Problem
from stacker.formats.index import INDEX_FILE
from stacker.formats.json_object import Json


class Damage:
    """For each damaged tensor of a plan the first byte that is wrong, counted from the start of its shard's file."""

    def __init__(self, plan: Plan) -> None:
        self._steps: list[list[Step]] = [[] for _ in plan.shards]
        for step in sorted(plan.steps, key=lambda step: step.offset):
            if step.tensor.nbytes:
                self._steps[step.shard].append(step)
        self._first: dict[Step, int] = {}
        self._lock = threading.Lock()

    def compare(self, shard: int, offset: int, expected: bytes, found: bytes) -> None:
        """Note each tensor of which something differs among the bytes from `offset` on."""
        begin = 0
        while expected[begin:] != found[begin:]:
            place = begin + _first_difference(expected[begin:], found[begin:])
            step = self._step_at(shard, offset + place)
            with self._lock:
                self._first[step] = min(offset + place, self._first.get(step, offset + place))
            begin = step.offset + step.tensor.nbytes - offset

    def problems(self, paths: Sequence[Path]) -> Iterator[Problem]:
        """One for each damaged tensor, in the order of the files."""
        for step, byte in sorted(self._first.items(), key=lambda item: (item[0].shard, item[1])):
            inside = byte - step.offset
            message = f"tensor '{step.tensor.name}' is damaged, first at its byte {inside} (byte {byte} of the file)"
            yield wrong(paths[step.shard], message, "build it again")

    def _step_at(self, shard: int, byte: int) -> Step:
        steps = self._steps[shard]
        return steps[bisect_right(steps, byte, key=lambda step: step.offset) - 1]


def _first_difference(one: bytes, other: bytes) -> int:
    """The index of the first byte in which two unequal byte strings of one length differ."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


CONFIG = "config.json"


def check_contents(folder: Path, plan: Plan) -> Iterator[Problem]:
    """What is wrong with config and index, and which files with weights should not be there."""
    yield from _check_json(folder / CONFIG, dict(plan.config))
    index = index_json(plan)
    if index is not None:
        yield from _check_json(folder / INDEX_FILE, index)
    planned = {shard.name for shard in plan.shards} | ({INDEX_FILE} if index else set())
    for path in sorted((*folder.glob("*.safetensors"), *folder.glob(INDEX_FILE))):
        if path.name not in planned:
            yield wrong(path, "this file is not in the plan: loaders may take it for a part of the output", "remove it")


def wrong(path: Path, message: str, hint: str = "") -> Problem:
    """A problem of a file of the output."""
    return Problem(message, hint, Mark(str(path)), blame=Blame.VERIFY)


def _check_json(path: Path, expected: dict[str, Json]) -> Iterator[Problem]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        yield wrong(path, f"cannot read this file: {error}")
        return
    if found is None:
        yield wrong(path, "this file is missing")
    elif found != expected:
        yield wrong(path, f"not as planned: {', '.join(_differences(found, expected))}")


def _differences(found: Any, expected: dict[str, Json], most: int = 5) -> list[str]:
    """The entries that differ, dotted where they are nested; the first few and how many more."""
    names = sorted(_differing(found, expected, ""))
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return [f"'{name}'" if name else "the whole of it" for name in names[:most]] + more


def _differing(found: Any, expected: Any, place: str) -> Iterator[str]:
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        if found != expected or type(found) is not type(expected):
            yield place
        return
    for key in found.keys() | expected.keys():
        inner = f"{place}.{key}" if place else key
        if key in found and key in expected:
            yield from _differing(found[key], expected[key], inner)
        else:
            yield inner
