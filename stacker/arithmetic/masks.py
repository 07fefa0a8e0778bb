"""Magnitudes counted and compared as the bits of an fp32 number, compiled; and masks, which are arrays of bool."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX, LOWER_BINS
from stacker.arithmetic.jit import compiled

_LANES = 256


@compiled
def bits_of(value: Any) -> Any:
    """A magnitude as an int32 in the same order; NaN comes after infinity."""
    return np.float32(value).view(np.int32) & np.int32(INT31_MAX)


@compiled
def count_upper(key: Any, counters: Any) -> None:
    """[UPPER + 1], the last the number that are not 0."""
    nonzero = 0
    for k in range(key.size):
        bits = bits_of(key[k])
        counters[bits >> np.int32(15)] += 1
        nonzero += bits != 0
    counters[-1] += nonzero


@compiled
def count_lower(key: Any, upper: int, counters: Any) -> None:
    """[LOWER], of those with these upper bits."""
    sought = np.uint32(upper << 15)
    for k in range(key.size):
        low = np.uint32(bits_of(key[k])) ^ sought
        if low < np.uint32(LOWER_BINS):
            counters[low] += 1


@compiled
def count_equal(key: Any, bits: Any) -> int:
    """How many have exactly these bits."""
    count = 0
    for k in range(key.size):
        count += bits_of(key[k]) == bits
    return count


@compiled
def mask_above(key: Any, bits: Any, mask: Any) -> None:
    """Which have greater bits."""
    for k in range(key.size):
        mask[k] = bits_of(key[k]) > bits


@compiled
def mask_above_or_first(key: Any, bits: Any, taken: int, mask: Any) -> None:
    """Which have greater bits, and the first `taken` that have these."""
    for k in range(key.size):
        found = bits_of(key[k])
        mask[k] = found > bits or (found == bits and taken > 0)
        taken -= found == bits


@compiled
def apply_mask(array: Any, mask: Any) -> None:
    """0 outside the mask."""
    nothing = array.dtype.type(0)
    for k in range(array.size):
        array[k] = array[k] if mask[k] else nothing


@compiled
def sum_magnitudes(array: Any, mask: Any) -> tuple[float, float]:
    """Σ|x|, and of the chosen, in lanes that are added in halves."""
    every, chosen = np.zeros(_LANES), np.zeros(_LANES)
    for start in range(0, array.size, _LANES):
        count = min(_LANES, array.size - start)
        part, inside = array[start : start + count], mask[start : start + count]
        for k in range(count):
            size = abs(np.float64(part[k]))
            every[k] += size
            chosen[k] += size if inside[k] else 0.0
    half = _LANES // 2
    while half:
        for k in range(half):
            every[k] += every[k + half]
            chosen[k] += chosen[k + half]
        half //= 2
    return every[0], chosen[0]


@compiled
def pack_ranks(array: Any, row: int, out: Any) -> None:
    """Each element's bits above its place in the row, int64: sorted, they are in the order of ranks."""
    for start in range(0, array.size, row):
        for place in range(row):
            out[start + place] = np.int64(bits_of(array[start + place])) << 32 | place


@compiled
def unpack_ranks(packed: Any, row: int, values: Any, out: Any) -> None:
    """For each element the value of its rank, from what `pack` gave, sorted row by row."""
    for start in range(0, out.size, row):
        for rank in range(row):
            out[start + (packed[start + rank] & INT31_MAX)] = values[rank]


@compiled
def hash_indices(first: int, before: Any, after: Any, out: Any) -> None:
    """All steps can be undone, so no number is more likely than another."""
    for k in range(out.size):
        bits = np.uint32(first + k) ^ before
        bits = ((bits ^ (bits >> np.uint32(16))) * np.uint32(HASH_FACTORS[0])) & np.uint32(INT31_MAX)
        bits = ((bits ^ (bits >> np.uint32(15))) * np.uint32(HASH_FACTORS[1])) & np.uint32(INT31_MAX)
        out[k] = np.int32(bits ^ (bits >> np.uint32(16)) ^ after)


@compiled
def mask_below(numbers: Any, bound: Any, mask: Any) -> None:
    """Which are less than the bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bound


@compiled
def mask_below_each(numbers: Any, bounds: Any, mask: Any) -> None:
    """Which are less than their own bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bounds[k]
