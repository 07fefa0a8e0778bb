"""Compiled functions that mark elements of an array in a bool array, by magnitude or by random numbers.

Magnitudes are compared by their bits: the 31 bits of |x| rounded to fp32, as an integer that `bits_of` returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX, LOWER_BINS
from stacker.arithmetic.jit import compiled

_LANES = 256


@compiled
def bits_of(value: Any) -> Any:
    """Return the bits of |value| in fp32 as an int32: the greater |value|, the greater the int32; NaN is greatest."""
    return np.float32(value).view(np.int32) & np.int32(INT31_MAX)


@compiled
def count_upper(key: Any, counters: Any) -> None:
    """Count the elements of `key` by the upper 16 of their 31 magnitude bits (see `bits_of`).

    The counts are added to `counters` [UPPER_BINS + 1], whose last entry counts all elements that are not 0.
    """
    nonzero = 0
    for k in range(key.size):
        bits = bits_of(key[k])
        counters[bits >> np.int32(15)] += 1
        nonzero += bits != 0
    counters[-1] += nonzero


@compiled
def count_lower(key: Any, upper: int, counters: Any) -> None:
    """Count the elements whose upper 16 magnitude bits (see `bits_of`) are `upper`, by their lower 15 magnitude bits.

    The counts are added to `counters` [LOWER_BINS].
    """
    sought = np.uint32(upper << 15)
    for k in range(key.size):
        low = np.uint32(bits_of(key[k])) ^ sought
        if low < np.uint32(LOWER_BINS):
            counters[low] += 1


@compiled
def count_equal(key: Any, bits: Any) -> int:
    """Count the elements of `key` whose magnitude bits (see `bits_of`) equal `bits`."""
    count = 0
    for k in range(key.size):
        count += bits_of(key[k]) == bits
    return count


@compiled
def mask_above(key: Any, bits: Any, mask: Any) -> None:
    """Mark in `mask` the elements of `key` whose magnitude bits (see `bits_of`) are greater than `bits`."""
    for k in range(key.size):
        mask[k] = bits_of(key[k]) > bits


@compiled
def mask_above_or_first(key: Any, bits: Any, taken: int, mask: Any) -> None:
    """Mark in `mask` the elements whose magnitude bits (see `bits_of`) exceed `bits`.

    Of the elements whose magnitude bits equal `bits`, the first `taken` are marked too.
    """
    for k in range(key.size):
        found = bits_of(key[k])
        mask[k] = found > bits or (found == bits and taken > 0)
        taken -= found == bits


@compiled
def apply_mask(array: Any, mask: Any) -> None:
    """Set the elements of `array` that the mask does not mark to 0."""
    nothing = array.dtype.type(0)
    for k in range(array.size):
        array[k] = array[k] if mask[k] else nothing


@compiled
def sum_magnitudes(array: Any, mask: Any) -> tuple[float, float]:
    """Compute in fp64 a pair of sums: Σ|x| over all elements, and Σ|x| over the elements that the mask marks.

    Each sum is computed as 256 partial sums, which are then added pairwise.
    """
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
    """Write to `out` an int64 for each element; sorting these numbers sorts the elements of a row by magnitude.

    The upper 32 bits are the element's magnitude bits (see `bits_of`), the lower 32 bits its index in the row.
    """
    for start in range(0, array.size, row):
        for place in range(row):
            out[start + place] = np.int64(bits_of(array[start + place])) << 32 | place


@compiled
def unpack_ranks(packed: Any, row: int, values: Any, out: Any) -> None:
    """Write to `out`, for each element, `values[rank]`, where the rank is the element's place by magnitude in its row.

    `packed` comes from `pack_ranks`, and each row of `packed` is sorted.
    """
    for start in range(0, out.size, row):
        for rank in range(row):
            out[start + (packed[start + rank] & INT31_MAX)] = values[rank]


@compiled
def hash_indices(first: int, before: Any, after: Any, out: Any) -> None:
    """Write to `out` the hashes of the indices from `first` on, as random numbers from 0 to 2³¹ − 1.

    Each index is XORed with the key `before`, and each hash with the key `after`. Every step is invertible, so all
    numbers are equally likely.
    """
    for k in range(out.size):
        bits = np.uint32(first + k) ^ before
        bits = ((bits ^ (bits >> np.uint32(16))) * np.uint32(HASH_FACTORS[0])) & np.uint32(INT31_MAX)
        bits = ((bits ^ (bits >> np.uint32(15))) * np.uint32(HASH_FACTORS[1])) & np.uint32(INT31_MAX)
        out[k] = np.int32(bits ^ (bits >> np.uint32(16)) ^ after)


@compiled
def mask_below(numbers: Any, bound: Any, mask: Any) -> None:
    """Mark in `mask` the numbers that are below `bound`."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bound


@compiled
def mask_below_each(numbers: Any, bounds: Any, mask: Any) -> None:
    """Mark in `mask` the numbers that are below the entry of `bounds` at the same index."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bounds[k]
