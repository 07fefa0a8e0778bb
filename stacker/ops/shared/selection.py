"""Exact selection of the largest elements of a whole tensor without sorting it: three counting passes.

This is a radix selection by the bits of fp32 magnitudes. The first pass counts elements by their upper 16 bits, the
second counts those with the sought upper bits by their lower 15 bits, and the third counts in each tile those with all
sought bits. Of equal elements the earlier ones rank higher (Knuth, The Art of Computer Programming 3, 5.2.5 and 5.3.3).
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
"""How many passes an exact selection takes."""
Counts: TypeAlias = "np.ndarray[Any, Any]"
ComputeKeys = Callable[[Tile, Statistics], "Sequence[Array]"]
"""Computes one or more arrays for a tile, by whose fp32 magnitudes (the keys) elements are ranked."""
ChooseRanks = Callable[[int, int], Sequence[int]]
"""Returns the ranks to find (rank 0 is the largest), given how many elements there are and how many are not 0."""


@dataclass(frozen=True, slots=True)
class RankQuery:
    """The ranks to find in the key array with the index `key`."""

    key: int
    ranks: ChooseRanks


@dataclass(frozen=True, slots=True)
class RankThreshold:
    """The magnitude bits of the element at a rank; elements with greater bits come before it in the ranking."""

    key: int
    """The index of the key array."""
    bits: int
    """The magnitude bits, or -1 if there are not that many elements, so that all come before the rank."""
    quota: int
    """How many elements with equal bits come before the rank; they are the first ones in the tensor."""
    shares: Sequence[tuple[int, int]] = ()
    """For each tile, how many elements of the quota it has, and how many elements with equal bits."""


def make_selection_passes(keys: ComputeKeys, queries: Sequence[RankQuery], *, exact: bool = True) -> tuple[Pass, ...]:
    """The first passes of a kernel; the statistic of the last is a list with a threshold for each rank of `queries`.

    Without `exact` there are two passes and no `shares`, which is enough to know the magnitude at each rank.
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
    """The elements of a tile that come before the threshold in the ranking; `key` is the tile's key array."""
    taken, equal = threshold.shares[tile.number] if threshold.shares else (0, 0)
    return tile.backend.mask_above(key, threshold.bits, taken, equal)


def magnitude_at(threshold: RankThreshold) -> float:
    """The magnitude of the element at the threshold's rank, as an fp32 value."""
    value: float = struct.unpack("f", struct.pack("i", threshold.bits))[0]
    return value


def _count_upper(keys: Sequence[Array], tile: Tile) -> Array:
    """Counts by upper bits as an array [keys, UPPER_BINS + 1]; its last column counts the elements that are not 0."""
    total = tile.backend.zero_counters(len(keys), UPPER_BINS + 1) if tile.total is None else tile.total
    for key, row in zip(keys, total, strict=True):
        tile.backend.count_upper(key, row)
    return total


def _find_bins(total: Counts, queries: Sequence[RankQuery]) -> list[tuple[int, int, int]]:
    """For each rank sought: the number of the key array, the bin (upper bits) of its element, the rank in the bin."""
    bins = []
    for query in queries:
        counts, nonzero = total[query.key, :-1], int(total[query.key, -1])
        bins += [(query.key, *_locate(counts, rank)) for rank in query.ranks(int(counts.sum()), nonzero)]
    return bins


def _locate(counts: Counts, rank: int) -> tuple[int, int]:
    """The bin of the element at a rank, and its rank within that bin; the bin is -1 if there are too few elements."""
    from_top = counts[::-1].cumsum()
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _count_lower(keys: Sequence[Array], bins: Sequence[tuple[int, int, int]], tile: Tile) -> Array:
    """Counts by lower bits as an array [ranks, LOWER_BINS], over the elements in the bin of each rank sought."""
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
    """How many elements of each tile have exactly the bits of a threshold, as an array [ranks, tiles]."""
    total = tile.backend.zero_counters(len(thresholds), tile.count) if tile.total is None else tile.total
    for number, threshold in enumerate(thresholds):
        if threshold.quota:
            total[number, tile.number] = tile.backend.count_equal(keys[threshold.key], threshold.bits)
    return total


def _split_quotas(total: Counts, thresholds: Sequence[RankThreshold]) -> list[RankThreshold]:
    """Adds the `shares` to each threshold: earlier tiles take as much of its quota as they have equal elements."""
    quotas = [[threshold.quota] for threshold in thresholds]
    taken = (quotas - (total.cumsum(1) - total)).clip(0, total)
    return [
        replace(threshold, shares=list(zip(mine, equal, strict=True)))
        for threshold, mine, equal in zip(thresholds, taken.tolist(), total.tolist(), strict=True)
    ]
