"""Which elements of what a source adds to its base are kept: each way one small class, its density bound.

The magnitudes are ranked by `selection` over whole tensors, by a sort only within one row (della).
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
    """Keeps some elements of one source's delta."""

    def ranks(self, count: int) -> Sequence[int]:
        """The ranks by magnitude that it has to know, of `count` elements; the largest has rank 0."""
        ...

    def mask(self, delta: Array, cuts: Sequence[RankThreshold], tile: Tile, source: int) -> Mask | None:
        """Which elements stay, None for all."""
        ...


@dataclass(frozen=True, slots=True)
class KeepAll:
    """All elements stay."""

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _cuts: Sequence[RankThreshold], _tile: Tile, _source: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DropAll:
    """No element stays."""

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(
        self,
        delta: Array,
        _cuts: Sequence[RankThreshold],
        tile: Tile,
        _source: int,
    ) -> Mask:
        return tile.backend.empty_mask(delta)


@dataclass(frozen=True, slots=True)
class KeepLargest:
    """The share `density` of largest magnitude, at least one element."""

    density: float

    def ranks(self, count: int) -> Sequence[int]:
        return (max(1, int(self.density * count)),)

    def mask(self, delta: Array, cuts: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return mask_before(cuts[0], delta, tile)


@dataclass(frozen=True, slots=True)
class KeepMiddle:
    """The share `density` of largest magnitude after the share `gamma` of the very largest, or as many as there are."""

    density: float
    gamma: float

    def ranks(self, count: int) -> Sequence[int]:
        kept = int(self.density * count)
        first = min(int(self.gamma * count), count - kept)
        return first, first + kept

    def mask(self, delta: Array, cuts: Sequence[RankThreshold], tile: Tile, _source: int) -> Mask:
        return tile.backend.subtract_mask(mask_before(cuts[1], delta, tile), mask_before(cuts[0], delta, tile))


@dataclass(frozen=True, slots=True)
class Dropout:
    """Each element with the chance `density`."""

    density: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, _delta: Array, _cuts: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bound_of(self.density))


@dataclass(frozen=True, slots=True)
class RankedDropout:
    """Each element with a chance between `density` ∓ `epsilon`, growing with its rank by magnitude in its row."""

    density: float
    epsilon: float
    seed: int

    def ranks(self, _count: int) -> Sequence[int]:
        return ()

    def mask(self, delta: Array, _cuts: Sequence[RankThreshold], tile: Tile, source: int) -> Mask:
        return tile.masks.get(tile, source, lambda: self._made(delta, tile, source))

    def _made(self, delta: Array, tile: Tile, source: int) -> Mask:
        bounds = tile.backend.look_up_by_rank(delta, tile.row, self._bounds(tile.row))
        return tile.backend.mask_below(draw_numbers(tile, source, self.seed), bounds)

    def _bounds(self, count: int) -> np.ndarray[Any, Any]:
        """Of so many ranks, the numbers to draw below."""
        import numpy as np

        spread = self.epsilon if count > 1 else 0.0
        low, high = bound_of(self.density - spread), bound_of(self.density + spread)
        return np.linspace(low, high, count).astype(np.int32)
