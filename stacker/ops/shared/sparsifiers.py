"""Sparsifiers: rules for which elements of a delta (a source's difference from the base) are kept.

Some rank elements by magnitude, either over the whole tensor (with `selection`) or within each row (RankedDropout).
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
        """The ranks, among `count` elements, whose thresholds `mask` needs; the largest magnitude has rank 0."""
        ...

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask | None:
        """The elements of a tile to keep, or None for all; `source` is the index of the source.

        There is one of `thresholds` for each rank that `ranks` returns.
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
    """Keeps the `density`·n elements of largest magnitude out of n, at least one."""

    density: float

    def ranks(self, count: int) -> Sequence[int]:
        return (max(1, int(self.density * count)),)

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return mask_before(thresholds[0], delta, tile)


@dataclass(frozen=True, slots=True)
class KeepMiddle:
    """Drops the `gamma`·n largest of n elements (fewer if too few would remain) and keeps the next `density`·n."""

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
    """Keeps each element with probability `density`, by a random draw."""

    density: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bound_of(self.density))


@dataclass(frozen=True, slots=True)
class RankedDropout:
    """Keeps each element with a probability that grows with the rank of its magnitude in its row.

    It is `density` − `epsilon` for the smallest element of a row, and `density` + `epsilon` for the largest.
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
        """For each rank in a row of `count` elements, smallest first: the bound below which a random draw keeps it."""
        import numpy as np

        spread = self.epsilon if count > 1 else 0.0
        low, high = bound_of(self.density - spread), bound_of(self.density + spread)
        return np.linspace(low, high, count).astype(np.int32)
