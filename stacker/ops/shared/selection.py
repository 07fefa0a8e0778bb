"""Finds the largest elements of a whole tensor exactly, without sorting it, in three passes that count elements.

This is a radix selection by the bits of fp32 magnitudes (absolute values). The first pass counts all elements by their
upper 16 bits, and the second counts those with the same upper bits as the element sought by their lower 15 bits. The
third pass counts in each tile the elements that equal the element sought, because among equal elements the earlier ones
rank higher (Knuth, The Art of Computer Programming 3, 5.2.5 and 5.3.3).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from stacker.arithmetic.backend import LOWER_BINS, UPPER_BINS
from stacker.ops.shared.op import Pass, Statistics, Tile

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.backend import Array, Mask

EXACT_PASSES = 3
"""How many passes over the tensor an exact selection takes."""
Counts: TypeAlias = "np.ndarray[Any, Any]"
ComputeKeys = Callable[[Tile, Statistics], "Sequence[Array]"]
"""A function that returns one or more key arrays for a tile.

Elements are ranked by the fp32 magnitudes of a key array.
"""
ChooseRanks = Callable[[int, int], Sequence[int]]
"""A function of (number of elements, number of elements that are not 0) that returns the ranks to find.

Rank 0 is the largest element.
"""


@dataclass(frozen=True, slots=True)
class RankQuery:
    """Which ranks to find in one key array; `key` is the array's index in the list that ComputeKeys returns."""

    key: int
    ranks: ChooseRanks


@dataclass(frozen=True, slots=True)
class RankThreshold:
    """The fp32 magnitude bits of the element at a certain rank; elements with greater bits rank before that element."""

    key: int
    """The index of the key array in which elements are ranked."""
    bits: int
    """The magnitude bits; -1 if there are too few elements for that rank, so that every element comes before it."""
    quota: int
    """How many of the elements with exactly these bits come before the rank; they are the first ones in the tensor."""
    shares: Sequence[tuple[int, int]] = ()
    """A pair of counts for each tile.

    The first is how many elements with exactly these bits come before the rank, the second how many elements have
    exactly these bits.
    """


def make_selection_passes(keys: ComputeKeys, queries: Sequence[RankQuery], *, exact: bool = True) -> tuple[Pass, ...]:
    """The first passes of a kernel; the last one makes a list with a RankThreshold for each rank to find.

    If `exact` is False, there are only two passes and `shares` stays empty, which is enough to know the magnitude at
    each rank.
    """
    passes = (
        Pass(
            lambda tile, statistics: _count_upper(keys(tile, statistics), tile),
            lambda total, _statistics: _find_bins(total, queries),
        ),
        Pass(
            lambda tile, statistics: _count_lower(keys(tile, statistics), statistics[0], tile),
            lambda total, statistics: _find_thresholds(total, statistics[0]),
        ),
        Pass(
            lambda tile, statistics: _count_equal(keys(tile, statistics), statistics[1], tile),
            lambda total, statistics: _split_quotas(total, statistics[1]),
        ),
    )
    return passes if exact else passes[:2]


def mask_before(threshold: RankThreshold, key: Array, tile: Tile) -> Mask:
    """The mask of the elements of a tile that come before the threshold's rank; `key` is the tile's key array."""
    taken, equal = threshold.shares[tile.number] if threshold.shares else (0, 0)
    return tile.backend.mask_above(key, threshold.bits, taken, equal)


def magnitude_at(threshold: RankThreshold) -> float:
    """The magnitude of the element at the threshold's rank, as an fp32 value."""
    value: float = struct.unpack("f", struct.pack("i", threshold.bits))[0]
    return value


def _count_upper(keys: Sequence[Array], tile: Tile) -> Array:
    """Count elements by their upper 16 magnitude bits; returns an array [number of key arrays, UPPER_BINS + 1].

    The last column counts the elements that are not 0. Counts of earlier tiles are included.
    """
    total = tile.backend.zero_counters(len(keys), UPPER_BINS + 1) if tile.total is None else tile.total
    for key, row in zip(keys, total, strict=True):
        tile.backend.count_upper(key, row)
    return total


def _find_bins(total: Counts, queries: Sequence[RankQuery]) -> list[tuple[int, int, int]]:
    """One tuple for each rank to find: key array index, bin (upper 16 bits) of the element, rank within the bin."""
    bins = []
    for query in queries:
        counts, nonzero = total[query.key, :-1], int(total[query.key, -1])
        bins += [(query.key, *_locate(counts, rank)) for rank in query.ranks(int(counts.sum()), nonzero)]
    return bins


def _locate(counts: Counts, rank: int) -> tuple[int, int]:
    """The index of the bin that contains the element at a rank, and the element's rank within that bin.

    The result is (-1, 0) if there are too few elements.
    """
    from_top = counts[::-1].cumsum()
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _count_lower(keys: Sequence[Array], bins: Sequence[tuple[int, int, int]], tile: Tile) -> Array:
    """Count elements by their lower 15 magnitude bits; returns an array [number of ranks to find, LOWER_BINS].

    Only elements in the bin of each rank are counted. Counts of earlier tiles are included.
    """
    total = tile.backend.zero_counters(len(bins), LOWER_BINS) if tile.total is None else tile.total
    for (key, upper, _), row in zip(bins, total, strict=True):
        tile.backend.count_lower(keys[key], max(upper, 0), row)
    return total


def _find_thresholds(total: Counts, bins: Sequence[tuple[int, int, int]]) -> list[RankThreshold]:
    thresholds = []
    for counts, (key, upper, rank) in zip(total, bins, strict=True):
        low, quota = _locate(counts, rank)
        found = RankThreshold(key, -1, 0) if upper < 0 else RankThreshold(key, upper * LOWER_BINS + low, quota)
        thresholds.append(found)
    return thresholds


def _count_equal(keys: Sequence[Array], thresholds: Sequence[RankThreshold], tile: Tile) -> Array:
    """Count the elements of each tile with exactly the bits of a threshold; returns an array [thresholds, tiles]."""
    total = tile.backend.zero_counters(len(thresholds), tile.count) if tile.total is None else tile.total
    for number, threshold in enumerate(thresholds):
        if threshold.quota:
            total[number, tile.number] = tile.backend.count_equal(keys[threshold.key], threshold.bits)
    return total


def _split_quotas(total: Counts, thresholds: Sequence[RankThreshold]) -> list[RankThreshold]:
    """The thresholds with `shares` filled in: each quota is distributed over the tiles in order.

    A tile gets at most as much of the quota as it has elements with exactly the threshold's bits (`total`).
    """
    quotas = [[threshold.quota] for threshold in thresholds]
    taken = (quotas - (total.cumsum(1) - total)).clip(0, total)
    return [
        replace(threshold, shares=list(zip(mine, equal, strict=True)))
        for threshold, mine, equal in zip(thresholds, taken.tolist(), total.tolist(), strict=True)
    ]
