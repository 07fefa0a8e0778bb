"""Exact selection of the largest elements of a whole tensor without sorting it: three counting passes.

A radix selection over the bits of fp32 magnitudes: the first pass counts their upper 16 bits, the second the lower 15
bits of those that share the sought element's upper bits, the third the equal ones in each tile. Of equal elements the
earlier ones rank higher. See Knuth, The Art of Computer Programming 3, sections 5.2.5 and 5.3.3.
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
"""Passes of an exact selection."""
Counts: TypeAlias = "np.ndarray[Any, Any]"
ComputeKeys = Callable[[Tile, Statistics], "Sequence[Array]"]
"""Computes one or more key arrays for a tile; elements are ranked by the fp32 magnitudes of their keys."""
ChooseRanks = Callable[[int, int], Sequence[int]]
"""Returns the ranks to find (0 is the largest), from the number of elements and the number of those that are not 0."""


@dataclass(frozen=True, slots=True)
class RankQuery:
    """Ranks to find among the keys with index `key`."""

    key: int
    ranks: ChooseRanks


@dataclass(frozen=True, slots=True)
class RankThreshold:
    """The key bits at a rank: elements with greater bits rank before it, and so do the first `quota` with equal bits.

    `bits` is -1 if all elements rank before it. `shares` holds, for each tile, its part of the quota and its number of
    elements with equal bits.
    """

    key: int
    bits: int
    quota: int
    shares: Sequence[tuple[int, int]] = ()


def make_selection_passes(keys: ComputeKeys, queries: Sequence[RankQuery], *, exact: bool = True) -> tuple[Pass, ...]:
    """The first passes of a kernel, whose last statistic is a list of RankThreshold, rank by rank of all `queries`.

    Without `exact` there are two passes and no `shares`, which is enough for ops that only use the magnitude.
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
    """The elements of a tile that rank before a threshold, by the tile's `key`."""
    taken, equal = threshold.shares[tile.number] if threshold.shares else (0, 0)
    return tile.backend.mask_above(key, threshold.bits, taken, equal)


def magnitude_at(threshold: RankThreshold) -> float:
    """The fp32 magnitude of the element at the rank."""
    value: float = struct.unpack("f", struct.pack("i", threshold.bits))[0]
    return value


def _count_upper(keys: Sequence[Array], tile: Tile) -> Array:
    """[keys, UPPER_BINS + 1]: counts by upper bits; the last column is the number of elements that are not 0."""
    total = tile.backend.zero_counters(len(keys), UPPER_BINS + 1) if tile.total is None else tile.total
    for key, row in zip(keys, total, strict=True):
        tile.backend.count_upper(key, row)
    return total


def _find_bins(total: Counts, queries: Sequence[RankQuery]) -> list[tuple[int, int, int]]:
    """The key, bin, and rank within the bin, of each rank sought."""
    bins = []
    for query in queries:
        counts, nonzero = total[query.key, :-1], int(total[query.key, -1])
        bins += [(query.key, *_locate(counts, rank)) for rank in query.ranks(int(counts.sum()), nonzero)]
    return bins


def _locate(counts: Counts, rank: int) -> tuple[int, int]:
    """The bin of a rank counted from the top, and the rank within it; bin -1 if there are not that many elements."""
    from_top = counts[::-1].cumsum()
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _count_lower(keys: Sequence[Array], bins: Sequence[tuple[int, int, int]], tile: Tile) -> Array:
    """[ranks, LOWER_BINS]: counts by lower bits, within the bin of each rank."""
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
    """[ranks, tiles]: counts of elements with the threshold's bits."""
    total = tile.backend.zero_counters(len(thresholds), tile.count) if tile.total is None else tile.total
    for number, threshold in enumerate(thresholds):
        if threshold.quota:
            total[number, tile.number] = tile.backend.count_equal(keys[threshold.key], threshold.bits)
    return total


def _split_quotas(total: Counts, thresholds: Sequence[RankThreshold]) -> list[RankThreshold]:
    """The thresholds with their quotas shared out among the tiles, earlier tiles first."""
    quotas = [[threshold.quota] for threshold in thresholds]
    taken = (quotas - (total.cumsum(1) - total)).clip(0, total)
    return [
        replace(threshold, shares=list(zip(mine, equal, strict=True)))
        for threshold, mine, equal in zip(thresholds, taken.tolist(), total.tolist(), strict=True)
    ]
