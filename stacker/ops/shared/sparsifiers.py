"""Sparsifiers: classes that choose which elements of a delta (a source's difference from the base) are kept.

KeepLargest and KeepMiddle rank elements by magnitude over the whole tensor, RankedDropout within each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stacker.ops.shared.draw import bound_of, draw_numbers
from stacker.ops.shared.op import Tile
from stacker.ops.shared.selection import RankThreshold, mask_before

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.backend import Array, Mask


class Sparsifier(Protocol):
    """Chooses which elements of a source's difference from the base (its delta) are kept."""

    def ranks(self, count: int) -> Sequence[int]:
        """The ranks that must be found in a tensor of `count` elements before `mask` can be called; may be empty.

        Elements are ranked by magnitude, and the largest one has rank 0.
        """
        ...

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask | None:
        """The mask of the elements to keep in a tile of one source's delta, or None to keep all elements.

        `thresholds` has one entry for each rank that `ranks` returns, and `source` is the index of the source.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeepAll:
    """Keeps every element."""

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _thresholds: Sequence[RankThreshold], _tile: Tile, _source: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DropAll:
    """Keeps no element."""

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, delta: Array, _thresholds: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return tile.backend.empty_mask(delta)


@dataclass(frozen=True, slots=True)
class KeepLargest:
    """Keeps the fraction `density` of all elements, those with the largest magnitudes, but at least one element."""

    density: float

    def ranks(self, count: int) -> Sequence[int]:
        return (max(1, int(self.density * count)),)

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return mask_before(thresholds[0], delta, tile)


@dataclass(frozen=True, slots=True)
class KeepMiddle:
    """Drops the largest elements (the fraction `gamma`) and keeps the next largest ones (the fraction `density`).

    If `gamma` + `density` is above 1, fewer of the largest elements are dropped, so that the fraction `density` is
    kept.
    """

    density: float
    gamma: float

    def ranks(self, count: int) -> Sequence[int]:
        kept = int(self.density * count)
        first = min(int(self.gamma * count), count - kept)
        return first, first + kept

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return tile.backend.subtract_mask(
            mask_before(thresholds[1], delta, tile), mask_before(thresholds[0], delta, tile)
        )


@dataclass(frozen=True, slots=True)
class Dropout:
    """Keeps each element at random, with probability `density`."""

    density: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bound_of(self.density))


@dataclass(frozen=True, slots=True)
class RankedDropout:
    """Keeps each element at random, with a probability that grows with the rank of its magnitude within its row.

    The probability is `density` − `epsilon` for the smallest element of a row and `density` + `epsilon` for the
    largest.
    """

    density: float
    epsilon: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, delta: Array, _thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.masks.get(tile, source, lambda: self._draw(delta, tile, source))

    def _draw(self, delta: Array, tile: Tile, source: int) -> Mask:
        bounds = tile.backend.look_up_by_rank(delta, tile.row, self._bounds(tile.row))
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bounds)

    def _bounds(self, count: int) -> np.ndarray[Any, Any]:
        """An array with one bound for each element of a row of `count` elements, ordered by increasing magnitude.

        An element is kept if its random number is below its bound.
        """
        import numpy as np

        spread = self.epsilon if count > 1 else 0.0
        low, high = bound_of(self.density - spread), bound_of(self.density + spread)
        return np.linspace(low, high, count).astype(np.int32)
