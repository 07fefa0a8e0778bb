"""Sums over a tensor, from many hands in any order, to the same last bit every time.

Numbers are added exactly. Arrays are added in the order of the pieces: one that comes early waits for those before it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Sums = np.ndarray[Any, np.dtype[Any]]


from collections.abc import Callable
from typing import TYPE_CHECKING

from stacker.core.plan.memory import KEPT
from stacker.ops.shared.op import Tile

if TYPE_CHECKING:
    from stacker.arithmetic.interface import Array, Mask


class Accumulator:
    """What the tiles of one tensor add up to in one pass."""

    def __init__(self) -> None:
        self._numbers: list[Sequence[float]] = []
        self._sum: Sums | None = None
        self._early: dict[int, Sums | None] = {}
        self._next = 0
        self._lock = threading.Lock()

    def add(self, piece: int, numbers: Sequence[Sequence[float]], total: Sums | None = None) -> None:
        """The sums of a piece: numbers, tile by tile, or an array of all its tiles.

        Pieces are numbered from 0, and each comes once.
        """
        with self._lock:
            self._numbers += numbers
            self._early[piece] = total
            while self._next in self._early:
                self._join(self._early.pop(self._next))
                self._next += 1

    def total(self) -> Any:
        """The sums over all pieces."""
        if self._sum is not None:
            return self._sum
        return [_exact_sum(column) for column in zip(*self._numbers, strict=True)]

    def _join(self, part: Sums | None) -> None:
        if self._sum is None:
            self._sum = part
        elif part is not None:
            self._sum += part


def _exact_sum(parts: Sequence[float]) -> float:
    try:
        return math.fsum(parts)
    except (ValueError, OverflowError):  # infinities of both signs, or a sum beyond the largest number
        return math.nan


class MaskCache:
    """Those of one blend, in at most `room` bytes; from any thread. What there was no room for is made again."""

    def __init__(self, room: int = KEPT) -> None:
        self._room = room
        self._bits: dict[tuple[int, int, int], Array] = {}
        self._lock = threading.Lock()

    def mask(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """What `make` gives for this source and tile, or gave before."""
        place = tile.start, len(tile.sources[0]), source
        bits = self._bits.get(place)
        if bits is not None:
            return tile.on.unpacked(bits, place[1])
        mask = make()
        if self._room >= place[1] // 8:
            self._keep(place, tile.on.packed(mask))
        return mask

    def _keep(self, place: tuple[int, int, int], bits: Array) -> None:
        with self._lock:
            if self._room >= bits.nbytes:
                self._room -= bits.nbytes
                self._bits[place] = bits
