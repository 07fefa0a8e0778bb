"""Bytes of an output that are not what they should be, gathered from many threads and told tensor by tensor."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from stacker.core.plan import Plan, Step
from stacker.errors import Problem
from stacker.run.contents import wrong


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
