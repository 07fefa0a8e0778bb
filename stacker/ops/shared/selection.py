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
    """Asks for the elements at certain ranks when the elements of a tensor are ranked by the magnitudes in a key array.

    `key` is the array's index in the list that ComputeKeys returns, and `ranks` is a function that returns the ranks.
    """

    key: int
    ranks: ChooseRanks


@dataclass(frozen=True, slots=True)
class RankThreshold:
    """The fp32 magnitude bits of the element at a certain rank; elements with greater bits come before that element.

    Of the elements with equal bits, the first `quota` come before it too, and `shares` has their number in each tile.
    """

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
    """The passes that find the ranks of `queries` in the arrays of `keys`; the last one makes a list of RankThresholds.

    If `exact` is False, there are only two passes, and each threshold has the magnitude at its rank but no `shares`.
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
    """The mask of a tile's elements that come before the threshold's rank: all larger ones, and the first equal ones.

    `key` is the tile's part of the array in which elements are ranked.
    """
    taken, equal = threshold.shares[tile.number] if threshold.shares else (0, 0)
    return tile.backend.mask_above(key, threshold.bits, taken, equal)


def magnitude_at(threshold: RankThreshold) -> float:
    """The magnitude of the element at the threshold's rank, as an fp32 value."""
    value: float = struct.unpack("f", struct.pack("i", threshold.bits))[0]
    return value


def _count_upper(keys: Sequence[Array], tile: Tile) -> Array:
    """Count a tile's elements by their upper 16 magnitude bits, and add the counts of earlier tiles.

    The result has a row for each key array: UPPER_BINS counts, then the number of elements that are not 0.
    """
    total = tile.backend.zero_counters(len(keys), UPPER_BINS + 1) if tile.total is None else tile.total
    for key, row in zip(keys, total, strict=True):
        tile.backend.count_upper(key, row)
    return total


def _find_bins(total: Counts, queries: Sequence[RankQuery]) -> list[tuple[int, int, int]]:
    """One tuple for each rank to find: index of the key array, bin of the element at the rank, rank within the bin.

    A bin has all elements with the same upper 16 bits; `total` has the counts that `_count_upper` returns.
    """
    bins = []
    for query in queries:
        counts, nonzero = total[query.key, :-1], int(total[query.key, -1])
        bins += [(query.key, *_locate(counts, rank)) for rank in query.ranks(int(counts.sum()), nonzero)]
    return bins


def _locate(counts: Counts, rank: int) -> tuple[int, int]:
    """The index of the bin that contains the element at `rank`, and that element's rank within the bin.

    `counts` has the number of elements in each bin, smallest magnitudes first; the result is (-1, 0) if there are too
    few elements for that rank.
    """
    from_top = counts[::-1].cumsum()
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _count_lower(keys: Sequence[Array], bins: Sequence[tuple[int, int, int]], tile: Tile) -> Array:
    """Count a tile's elements by their lower 15 magnitude bits, and add the counts of earlier tiles.

    The result has a row of LOWER_BINS counts for each tuple that `_find_bins` returned (`bins`); the row counts only
    elements in the tuple's bin.
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
    """Count a tile's elements that have exactly the bits of each threshold.

    The result is an array [thresholds, tiles] that includes the counts of earlier tiles.
    """
    total = tile.backend.zero_counters(len(thresholds), tile.count) if tile.total is None else tile.total
    for number, threshold in enumerate(thresholds):
        if threshold.quota:
            total[number, tile.number] = tile.backend.count_equal(keys[threshold.key], threshold.bits)
    return total


def _split_quotas(total: Counts, thresholds: Sequence[RankThreshold]) -> list[RankThreshold]:
    """The thresholds with `shares` filled in: each threshold's `quota` is distributed over the tiles in order.

    `total` is an array [thresholds, tiles] that counts the elements with exactly the threshold's bits.
    """
    quotas = [[threshold.quota] for threshold in thresholds]
    taken = (quotas - (total.cumsum(1) - total)).clip(0, total)
    return [
        replace(threshold, shares=list(zip(mine, equal, strict=True)))
        for threshold, mine, equal in zip(thresholds, taken.tolist(), total.tolist(), strict=True)
    ]
