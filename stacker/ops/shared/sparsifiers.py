"""Sparsifiers: rules for which elements of a source's difference from the base are kept.

Magnitudes are ranked over the whole tensor by `selection`, or by a sort within each row (della).
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
    """Chooses which elements of one source's delta are kept."""

    def ranks(self, count: int) -> Sequence[int]:
        """The ranks by magnitude, among `count` elements, whose thresholds `mask` needs; the largest has rank 0."""
        ...

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask | None:
        """The elements to keep, None for all; `thresholds` are those of `ranks`, `source` is the source's index."""
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
    """Keeps the `density`·n elements of largest magnitude, at least one."""

    density: float

    def ranks(self, count: int) -> Sequence[int]:
        return (max(1, int(self.density * count)),)

    def mask(self, delta: Array, thresholds: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return mask_before(thresholds[0], delta, tile)


@dataclass(frozen=True, slots=True)
class KeepMiddle:
    """Keeps the `density`·n elements after the `gamma`·n of largest magnitude, or else the `density`·n smallest."""

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
    """Keeps each element with probability `density`."""

    density: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _thresholds: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bound_of(self.density))


@dataclass(frozen=True, slots=True)
class RankedDropout:
    """Keeps each element with a probability that grows with its rank by magnitude in its row.

    The smallest has the probability `density` − `epsilon`, the largest `density` + `epsilon`.
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
        """[count] int32: the bound for the drawn number of each rank, smallest magnitude first."""
        import numpy as np

        spread = self.epsilon if count > 1 else 0.0
        low, high = bound_of(self.density - spread), bound_of(self.density + spread)
        return np.linspace(low, high, count).astype(np.int32)
