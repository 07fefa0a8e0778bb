"""Compiled functions that compare several arrays element by element; like `sums` they work in chunks."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.arithmetic.sums import CHUNK, Arrays, add_up


@compiled
def merge_elected(arrays: Arrays, votes: Any, factors: Any, weights: Any, out: Any) -> None:
    """Write Σ fᵢvᵢxᵢ to `out`, over the arrays whose vᵢxᵢ has the sign of Σ vᵢxᵢ; v are the votes, f the factors.

    If `weights` is not empty, the sum is divided by those arrays' weights; a NaN enters the sum whatever the sign.
    """
    total, divisor = np.empty(CHUNK, out.dtype), np.empty(CHUNK, out.dtype)
    up = np.empty(CHUNK, np.bool_)
    nothing = out.dtype.type(0)
    for start in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - start)
        add_up(votes, arrays, start, count, total)
        for k in range(count):
            up[k] = total[k] >= nothing
            total[k] = divisor[k] = nothing
        for number in range(len(arrays)):
            part, vote, factor = arrays[number][start : start + count], votes[number], factors[number]
            for k in range(count):
                along = vote * part[k] if up[k] else -vote * part[k]
                total[k] += nothing if along <= nothing else factor * along
            if weights.size:
                weight = weights[number]
                for k in range(count):
                    along = vote * part[k] if up[k] else -vote * part[k]
                    divisor[k] += weight if along > nothing else nothing
        result = out[start : start + count]
        for k in range(count):
            value = total[k] if divisor[k] == nothing else total[k] / divisor[k]
            result[k] = value if up[k] else nothing - value


@compiled
def variance(arrays: Arrays, out: Any) -> None:
    """Write the population variance of each element across the arrays to `out`."""
    mean, ones = np.empty(CHUNK, out.dtype), np.ones(len(arrays), out.dtype)
    size = out.dtype.type(len(arrays))
    for start in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - start)
        result = out[start : start + count]
        add_up(ones, arrays, start, count, mean)
        for k in range(count):
            mean[k] /= size
            result[k] = 0
        for number in range(len(arrays)):
            part = arrays[number][start : start + count]
            for k in range(count):
                away = part[k] - mean[k]
                result[k] += away * away
        for k in range(count):
            result[k] /= size


@compiled
def _count_changed(arrays: Arrays, least: Any, start: int, count: int, many: Any) -> None:
    """For each of the `count` elements from `start`, write to `many` in how many arrays it has |x| > least."""
    for k in range(count):
        many[k] = 0
    for number in range(len(arrays)):
        part = arrays[number][start : start + count]
        for k in range(count):
            many[k] += abs(part[k]) > least


@compiled
def count_changes(arrays: Arrays, least: Any, shared: Any, alone: Any) -> None:
    """Count the elements of each array with |x| > least.

    Those that also have |x| > least in another array are added to the array's number in `shared`, the rest in `alone`.
    """
    many = np.empty(CHUNK, np.int32)
    for start in range(0, arrays[0].size, CHUNK):
        count = min(CHUNK, arrays[0].size - start)
        _count_changed(arrays, least, start, count, many)
        for number in range(len(arrays)):
            part = arrays[number][start : start + count]
            every = own = 0
            for k in range(count):
                found = abs(part[k]) > least
                every += found
                own += found & (many[k] == 1)
            shared[number] += every - own
            alone[number] += own


@compiled
def merge_changes(arrays: Arrays, least: Any, factors: Any, out: Any) -> None:
    """Write the mean of each element over the arrays with |x| > least to `out`.

    Where only one array has |x| > least, its element times its factor is written; where none has, 0.
    """
    many, total = np.empty(CHUNK, np.int32), np.empty(CHUNK, out.dtype)
    nothing, one = out.dtype.type(0), out.dtype.type(1)
    for start in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - start)
        _count_changed(arrays, least, start, count, many)
        for k in range(count):
            total[k] = nothing
        for number in range(len(arrays)):
            part, factor = arrays[number][start : start + count], factors[number]
            for k in range(count):
                scale = factor if many[k] == 1 else one / out.dtype.type(max(many[k], 1))
                total[k] += part[k] * scale if abs(part[k]) > least else nothing
        result = out[start : start + count]
        for k in range(count):
            result[k] = total[k]
