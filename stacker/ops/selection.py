"""The largest elements of a whole tensor, found exactly without sorting it: three passes that count.

A radix selection over the bits of fp32 magnitudes: the first pass counts their upper 16 bits, the second the lower 15
of those that share the upper ones of the element sought, the third how many equal it in each tile. Of equal elements
the earlier ones are taken first. See Knuth, The Art of Computer Programming 3, sections 5.2.5 and 5.3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stacker.ops.masks import above, bits_of, chosen
from stacker.ops.model import Known, Pass, Tile

if TYPE_CHECKING:
    import torch

_LOW = 15
"""Lower bits of a magnitude: a sign, 16 upper and these make 32."""
Keys = Callable[[Tile, Known], "Sequence[torch.Tensor]"]
"""From a tile to tensors of fp32 magnitudes (not negative), by which each is to be ranked."""
Ranks = Callable[[int, int], Sequence[int]]
"""From the number of elements, and the number of those that are not 0, to the ranks sought (0 is the largest)."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which ranks are looked for: `ranks` among the keys number `key`."""

    key: int
    ranks: Ranks


@dataclass(frozen=True, slots=True)
class Cut:
    """A rank by its bits: all of greater bits come before it, and the first `quota` elements of the same bits.

    Bits are -1 where every element comes before. `shares` are, tile by tile, how many of the quota are the tile's, and
    how many elements of the same bits it has.
    """

    key: int
    bits: int
    quota: int
    shares: Sequence[tuple[int, int]] = ()


def passes_for(keys: Keys, sought: Sequence[Sought], first: int = 0, *, exact: bool = True) -> tuple[Pass, ...]:
    """The passes that find the ranks; `first` is the number of the first one among its kernel's.

    What the last one is known by is a list of Cut, rank by rank in the order of `sought`. Without `exact` the quotas
    are not split over tiles, for ops that need the value alone, and there are two passes.
    """
    found = (
        Pass(lambda tile, known: _upper(keys(tile, known)), lambda total, known: _bins(total, sought)),  # noqa: ARG005
        Pass(
            lambda tile, known: _lower(keys(tile, known), known[first]),
            lambda total, known: _cuts(total, known[first]),
        ),
        Pass(
            lambda tile, known: _equal(keys(tile, known), known[first + 1], tile),
            lambda total, known: _split(total, known[first + 1]),
        ),
    )
    return found if exact else found[:2]


def is_before(cut: Cut, bits: torch.Tensor, tile: Tile) -> torch.Tensor:
    """Which elements of a tile rank before a cut, a mask of `masks`; `bits` are those of the tile's keys."""
    taken, equal = cut.shares[tile.number] if cut.shares else (0, 0)
    before = above(bits, cut.bits - 1 if 0 < taken == equal else cut.bits)
    if 0 < taken < equal:
        same = bits == cut.bits
        before.bitwise_or_(chosen(same & (same.cumsum(0) <= taken)))
    return before


def value_at(cut: Cut) -> float:
    """The magnitude at a rank."""
    import torch

    return float(torch.tensor(cut.bits, dtype=torch.int32).view(torch.float32))


def _upper(keys: Sequence[torch.Tensor]) -> torch.Tensor:
    """[keys, 2^16 + 1], the last column the number of elements that are not 0."""
    import torch

    total = torch.empty(len(keys), (1 << 16) + 1, dtype=torch.int64, device=keys[0].device)
    for key, row in zip(keys, total, strict=True):
        bits = bits_of(key)
        row[:-1] = (bits >> _LOW).bincount(minlength=1 << 16)
        row[-1] = bits.count_nonzero() if row[0] else len(bits)
    return total


def _bins(total: torch.Tensor, sought: Sequence[Sought]) -> list[tuple[int, int, int]]:
    """Key, bin, and the rank within the bin, of each rank sought."""
    found = []
    for each in sought:
        counts, nonzero = total[each.key, :-1], int(total[each.key, -1])
        found += [(each.key, *_locate(counts, rank)) for rank in each.ranks(int(counts.sum()), nonzero)]
    return found


def _locate(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """The bin that holds a rank counted from the top, and the rank in it; bin -1 past the last."""
    from_top = counts.flip(0).cumsum(0)
    at = int((from_top <= rank).sum())
    if at == len(counts):
        return -1, 0
    return len(counts) - 1 - at, rank - (int(from_top[at - 1]) if at else 0)


def _lower(keys: Sequence[torch.Tensor], bins: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """[ranks, 2^15]"""
    import torch

    every = {key: bits_of(keys[key]) for key in {key for key, _, _ in bins}}
    size = 1 << _LOW
    rows = []
    for key, upper, _ in bins:
        low = every[key] ^ (max(upper, 0) << _LOW)  # less than `size` where the upper bits are those sought
        # The others are spread over bins of no use: counting them all in one takes four times as long.
        place = torch.minimum(low, (low >> _LOW).add_(size))
        rows.append(place.bincount(minlength=3 * size)[:size])
    return torch.stack(rows)


def _cuts(total: torch.Tensor, bins: Sequence[tuple[int, int, int]]) -> list[Cut]:
    cuts = []
    for counts, (key, upper, rank) in zip(total, bins, strict=True):
        low, quota = _locate(counts, rank)
        cuts.append(Cut(key, -1, 0) if upper < 0 else Cut(key, (upper << _LOW) + low, quota))
    return cuts


def _equal(keys: Sequence[torch.Tensor], cuts: Sequence[Cut], tile: Tile) -> torch.Tensor:
    """[ranks, tiles], all 0 but for this tile's column."""
    import torch

    every = {key: bits_of(keys[key]) for key in {cut.key for cut in cuts}}
    counts = torch.zeros(len(cuts), tile.count, dtype=torch.int64)
    for number, cut in enumerate(cuts):
        if cut.quota:
            bits = every[cut.key]
            counts[number, tile.number] = len(bits) - (bits ^ cut.bits).count_nonzero()
    return counts


def _split(total: torch.Tensor, cuts: Sequence[Cut]) -> list[Cut]:
    import torch

    quotas = total.new_tensor([cut.quota for cut in cuts])[:, None]
    taken = torch.minimum((quotas - (total.cumsum(1) - total)).clamp_(min=0), total)
    return [
        replace(cut, shares=list(zip(mine, every, strict=True)))
        for cut, mine, every in zip(cuts, taken.tolist(), total.tolist(), strict=True)
    ]
