"""The largest elements of a whole tensor, found exactly without sorting it: three passes that count.

A radix selection over the bits of fp32 magnitudes: the first pass counts their upper 16 bits, the second the lower 15
of those that share the upper ones of the element sought, the third how many equal it in each tile. Of equal elements
the earlier ones are taken first. See Knuth, The Art of Computer Programming 3, sections 5.2.5 and 5.3.3.
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
"""From a tile to arrays, by whose magnitudes in fp32 elements are to be ranked."""
ChooseRanks = Callable[[int, int], Sequence[int]]
"""From the number of elements, and the number of those that are not 0, to the ranks sought (0 is the largest)."""


@dataclass(frozen=True, slots=True)
class RankQuery:
    """Which ranks are looked for: `ranks` among the keys number `key`."""

    key: int
    ranks: ChooseRanks


@dataclass(frozen=True, slots=True)
class RankThreshold:
    """A rank by its bits: all of greater bits come before it, and the first `quota` elements of the same bits.

    Bits are -1 where every element comes before. `shares` are, tile by tile, how many of the quota are the tile's, and
    how many elements of the same bits it has.
    """

    key: int
    bits: int
    quota: int
    shares: Sequence[tuple[int, int]] = ()


def make_selection_passes(
    keys: ComputeKeys, sought: Sequence[RankQuery], first: int = 0, *, exact: bool = True
) -> tuple[Pass, ...]:
    """The passes that find the ranks; `first` is the number of the first one among its kernel's.

    What the last one is known by is a list of Cut, rank by rank in the order of `sought`. Without `exact` the quotas
    are not split over tiles, for ops that need the value alone, and there are two passes.
    """
    found = (
        Pass(
            lambda tile, statistics: _upper(keys(tile, statistics), tile),
            lambda total, _statistics: _bins(total, sought),
        ),
        Pass(
            lambda tile, statistics: _lower(keys(tile, statistics), statistics[first], tile),
            lambda total, statistics: _cuts(total, statistics[first]),
        ),
        Pass(
            lambda tile, statistics: _equal(keys(tile, statistics), statistics[first + 1], tile),
            lambda total, statistics: _split(total, statistics[first + 1]),
        ),
    )
    return found if exact else found[:2]


def mask_before(cut: RankThreshold, key: Array, tile: Tile) -> Mask:
    """Which elements of a tile rank before a cut, by the tile's key."""
    taken, equal = cut.shares[tile.number] if cut.shares else (0, 0)
    return tile.backend.mask_above(key, cut.bits, taken, equal)


def magnitude_at(cut: RankThreshold) -> float:
    """The magnitude at a rank."""
    value: float = struct.unpack("f", struct.pack("i", cut.bits))[0]
    return value


def _upper(keys: Sequence[Array], tile: Tile) -> Array:
    """[keys, UPPER + 1], the last column the number of elements that are not 0."""
    total = tile.backend.zero_counters(len(keys), UPPER_BINS + 1) if tile.total is None else tile.total
    for key, row in zip(keys, total, strict=True):
        tile.backend.count_upper(key, row)
    return total


def _bins(total: Counts, sought: Sequence[RankQuery]) -> list[tuple[int, int, int]]:
    """Key, bin, and the rank within the bin, of each rank sought."""
    found = []
    for each in sought:
        counts, nonzero = total[each.key, :-1], int(total[each.key, -1])
        found += [(each.key, *_locate(counts, rank)) for rank in each.ranks(int(counts.sum()), nonzero)]
    return found


def _locate(counts: Counts, rank: int) -> tuple[int, int]:
    """The bin that holds a rank counted from the top, and the rank in it; bin -1 past the last."""
    from_top = counts[::-1].cumsum()
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _lower(keys: Sequence[Array], bins: Sequence[tuple[int, int, int]], tile: Tile) -> Array:
    """[ranks, LOWER]"""
    total = tile.backend.zero_counters(len(bins), LOWER_BINS) if tile.total is None else tile.total
    for (key, upper, _), row in zip(bins, total, strict=True):
        tile.backend.count_lower(keys[key], max(upper, 0), row)
    return total


def _cuts(total: Counts, bins: Sequence[tuple[int, int, int]]) -> list[RankThreshold]:
    cuts = []
    for counts, (key, upper, rank) in zip(total, bins, strict=True):
        low, quota = _locate(counts, rank)
        cuts.append(RankThreshold(key, -1, 0) if upper < 0 else RankThreshold(key, upper * LOWER_BINS + low, quota))
    return cuts


def _equal(keys: Sequence[Array], cuts: Sequence[RankThreshold], tile: Tile) -> Array:
    """[ranks, tiles]"""
    total = tile.backend.zero_counters(len(cuts), tile.count) if tile.total is None else tile.total
    for number, cut in enumerate(cuts):
        if cut.quota:
            total[number, tile.number] = tile.backend.count_equal(keys[cut.key], cut.bits)
    return total


def _split(total: Counts, cuts: Sequence[RankThreshold]) -> list[RankThreshold]:
    quotas = [[cut.quota] for cut in cuts]
    taken = (quotas - (total.cumsum(1) - total)).clip(0, total)
    return [
        replace(cut, shares=list(zip(mine, every, strict=True)))
        for cut, mine, every in zip(cuts, taken.tolist(), total.tolist(), strict=True)
    ]
