"""Which elements of what a source adds to its base are kept: each way one small class, its density bound.

The magnitudes are ranked by `selection` over whole tensors, by a sort only within one row (della).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stacker.ops.draw import at_most, draw
from stacker.ops.masks import below, bits_of
from stacker.ops.model import Tile
from stacker.ops.selection import Cut, is_before

if TYPE_CHECKING:
    import torch


class Sparsifier(Protocol):
    """Keeps some elements of one source's delta."""

    def ranks(self, count: int) -> Sequence[int]:
        """The ranks by magnitude that it has to know, of `count` elements; the largest has rank 0."""
        ...

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> torch.Tensor | None:
        """Which elements stay, a mask of `masks`; None for all."""
        ...


@dataclass(frozen=True, slots=True)
class Everything:
    """All elements stay."""

    def ranks(self, count: int) -> Sequence[int]:  # noqa: ARG002 - a Sparsifier
        return ()

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No element stays."""

    def ranks(self, count: int) -> Sequence[int]:  # noqa: ARG002 - a Sparsifier
        return ()

    def mask(
        self,
        delta: torch.Tensor,
        cuts: Sequence[Cut],  # noqa: ARG002 - a Sparsifier
        tile: Tile,  # noqa: ARG002
        source: int,  # noqa: ARG002
    ) -> torch.Tensor:
        import torch

        return torch.zeros_like(delta, dtype=torch.int32)


@dataclass(frozen=True, slots=True)
class Largest:
    """The share `density` of largest magnitude, at least one element."""

    density: float

    def ranks(self, count: int) -> Sequence[int]:
        return (max(1, int(self.density * count)),)

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> torch.Tensor:  # noqa: ARG002
        return is_before(cuts[0], bits_of(delta), tile)


@dataclass(frozen=True, slots=True)
class Middle:
    """The share `density` of largest magnitude after the share `gamma` of the very largest, or as many as there are."""

    density: float
    gamma: float

    def ranks(self, count: int) -> Sequence[int]:
        kept = int(self.density * count)
        first = min(int(self.gamma * count), count - kept)
        return first, first + kept

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> torch.Tensor:  # noqa: ARG002
        bits = bits_of(delta)
        largest = is_before(cuts[0], bits, tile)
        return is_before(cuts[1], bits, tile).bitwise_and_(largest.bitwise_not_())


@dataclass(frozen=True, slots=True)
class Dropout:
    """Each element with the chance `density`."""

    density: float
    seed: int

    def ranks(self, count: int) -> Sequence[int]:  # noqa: ARG002 - a Sparsifier
        return ()

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> torch.Tensor:  # noqa: ARG002
        return below(draw(tile, source, self.seed), at_most(self.density))


@dataclass(frozen=True, slots=True)
class RowRanked:
    """Each element with a chance between `density` ∓ `epsilon`, growing with its rank by magnitude in its row."""

    density: float
    epsilon: float
    seed: int

    def ranks(self, count: int) -> Sequence[int]:  # noqa: ARG002 - a Sparsifier
        return ()

    def mask(self, delta: torch.Tensor, cuts: Sequence[Cut], tile: Tile, source: int) -> torch.Tensor:  # noqa: ARG002
        """Of equal elements the later one ranks higher."""
        import torch

        order = _ascending(bits_of(delta).view(-1, tile.row))
        by_rank = self._bounds(tile.row).to(delta.device)
        bounds = torch.empty_like(order, dtype=torch.int32).scatter_(1, order, by_rank.expand_as(order))
        return below(draw(tile, source, self.seed), bounds.view(-1))

    def _bounds(self, count: int) -> torch.Tensor:
        """Of so many ranks, the numbers to draw below."""
        import torch

        spread = self.epsilon if count > 1 else 0.0
        low, high = at_most(self.density - spread), at_most(self.density + spread)
        return torch.linspace(low, high, count, dtype=torch.float64).to(torch.int32)


def _ascending(bits: torch.Tensor) -> torch.Tensor:
    """The places of each row's elements from smallest to largest, of equal ones the earlier first.

    Place and element in one number, sorted by numpy: measured, a tenth of the time of torch's sort.
    """
    import torch

    if bits.device.type != "cpu":
        return bits.argsort(dim=1, stable=True)
    places = torch.arange(bits.shape[1])
    both = bits.to(torch.int64).bitwise_left_shift_(32).bitwise_or_(places)
    both.numpy().sort(axis=1)
    return both.bitwise_and_((1 << 32) - 1)
