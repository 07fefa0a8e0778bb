"""Compiled functions that choose elements, by the bits of their fp32 magnitude or by random numbers.

Masks are arrays of bool, and "bits" below means those of an element's fp32 magnitude, as `bits_of` returns them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX, LOWER_BINS
from stacker.arithmetic.jit import compiled

_LANES = 256


@compiled
def bits_of(value: Any) -> Any:
    """The bits of the value's fp32 magnitude, an int32; greater magnitudes have greater bits, and NaN the greatest."""
    return np.float32(value).view(np.int32) & np.int32(INT31_MAX)


@compiled
def count_upper(key: Any, counters: Any) -> None:
    """Count elements by their upper 16 bits in `counters` [UPPER_BINS + 1]; the last counts those that are not 0."""
    nonzero = 0
    for k in range(key.size):
        bits = bits_of(key[k])
        counters[bits >> np.int32(15)] += 1
        nonzero += bits != 0
    counters[-1] += nonzero


@compiled
def count_lower(key: Any, upper: int, counters: Any) -> None:
    """Count the elements whose upper 16 bits are `upper` by their lower 15 bits in `counters` [LOWER_BINS]."""
    sought = np.uint32(upper << 15)
    for k in range(key.size):
        low = np.uint32(bits_of(key[k])) ^ sought
        if low < np.uint32(LOWER_BINS):
            counters[low] += 1


@compiled
def count_equal(key: Any, bits: Any) -> int:
    """How many elements have exactly these bits."""
    count = 0
    for k in range(key.size):
        count += bits_of(key[k]) == bits
    return count


@compiled
def mask_above(key: Any, bits: Any, mask: Any) -> None:
    """Mark the elements whose bits are greater than `bits`."""
    for k in range(key.size):
        mask[k] = bits_of(key[k]) > bits


@compiled
def mask_above_or_first(key: Any, bits: Any, taken: int, mask: Any) -> None:
    """Mark the elements whose bits are greater than `bits`, and the first `taken` whose bits are equal."""
    for k in range(key.size):
        found = bits_of(key[k])
        mask[k] = found > bits or (found == bits and taken > 0)
        taken -= found == bits


@compiled
def apply_mask(array: Any, mask: Any) -> None:
    """Set the elements outside the mask to 0."""
    nothing = array.dtype.type(0)
    for k in range(array.size):
        array[k] = array[k] if mask[k] else nothing


@compiled
def sum_magnitudes(array: Any, mask: Any) -> tuple[float, float]:
    """Σ|x| over all elements, then over those in the mask; computed as partial sums that are added pairwise."""
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
    """Write an int64 for each element, its bits above its index in the row, so that a sort orders a row by rank."""
    for start in range(0, array.size, row):
        for place in range(row):
            out[start + place] = np.int64(bits_of(array[start + place])) << 32 | place


@compiled
def unpack_ranks(packed: Any, row: int, values: Any, out: Any) -> None:
    """Write to `out`, for each element, the value of its rank; `packed` is from `pack_ranks`, with each row sorted."""
    for start in range(0, out.size, row):
        for rank in range(row):
            out[start + (packed[start + rank] & INT31_MAX)] = values[rank]


@compiled
def hash_indices(first: int, before: Any, after: Any, out: Any) -> None:
    """Hash the indices from `first` on, XORed with the key `before`, and XOR the hashes with the key `after`.

    Every step is invertible, so all numbers are equally likely.
    """
    for k in range(out.size):
        bits = np.uint32(first + k) ^ before
        bits = ((bits ^ (bits >> np.uint32(16))) * np.uint32(HASH_FACTORS[0])) & np.uint32(INT31_MAX)
        bits = ((bits ^ (bits >> np.uint32(15))) * np.uint32(HASH_FACTORS[1])) & np.uint32(INT31_MAX)
        out[k] = np.int32(bits ^ (bits >> np.uint32(16)) ^ after)


@compiled
def mask_below(numbers: Any, bound: Any, mask: Any) -> None:
    """Mark the numbers that are below the bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bound


@compiled
def mask_below_each(numbers: Any, bounds: Any, mask: Any) -> None:
    """Mark the numbers that are below the bound at the same index of `bounds`."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bounds[k]
