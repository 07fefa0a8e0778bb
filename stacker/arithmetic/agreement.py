"""Compiled functions that compare several arrays element by element, in chunks that fit the L1 cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.arithmetic.sums import CHUNK, Arrays, add_up


@compiled
def merge_elected(arrays: Arrays, votes: Any, factors: Any, weights: Any, out: Any) -> None:
    """Write Σ fᵢvᵢxᵢ to `out` for each element, summed only over the arrays whose vᵢxᵢ has the sign of Σ vᵢxᵢ.

    Here f are `factors` and v `votes`; if `weights` is not empty, each sum is divided by the total weight of the arrays
    in that sum. An element that is NaN in any array becomes NaN.
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
    """Write to `out`, for each index, the population variance of the elements that the arrays have at that index."""
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
    """Write to `many`, for each of the `count` indices from `start`, how many arrays have |x| > least at that index."""
    for k in range(count):
        many[k] = 0
    for number in range(len(arrays)):
        part = arrays[number][start : start + count]
        for k in range(count):
            many[k] += abs(part[k]) > least


@compiled
def count_changes(arrays: Arrays, least: Any, shared: Any, alone: Any) -> None:
    """Count the elements x of array i that have |x| > least, and add the counts to `shared[i]` and `alone[i]`.

    An element counts in `shared` if another array has |x| > least at the same index, and in `alone` otherwise.
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
    """Write to `out`, for each index, the mean of the elements with |x| > least that the arrays have at that index.

    If only one array has such an element, the element times the array's factor is written; if no array has one, 0.
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
