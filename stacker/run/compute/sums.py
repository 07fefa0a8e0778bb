"""Combines partial sums over one tensor, computed by several threads, and stores masks for later passes.

Sums are bit-identical in every run: numbers are summed exactly, and arrays are added in the order of their pieces,
whatever order they arrive in. A piece is the range of elements that one job computes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stacker.core.plan.costs import MASK_CACHE
from stacker.ops.shared.op import Tile

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.backend import Array, Mask

    Sums = np.ndarray[Any, np.dtype[Any]]


class Accumulator:
    """Adds up the sums of one pass over a tensor; any thread may add the sums of a piece.

    A piece is the range of elements that one job computes.
    """

    def __init__(self) -> None:
        self._numbers: list[Sequence[float]] = []
        self._sum: Sums | None = None
        self._waiting: dict[int, Sums | None] = {}
        self._next = 0
        self._lock = threading.Lock()

    def add(self, piece: int, numbers: Sequence[Sequence[float]], total: Sums | None = None) -> None:
        """Add the sums of one piece: a list of numbers for each of its tiles, or one array `total` for the whole piece.

        A piece is the range of elements that one job computes; pieces are numbered from 0, and each must be added once.
        """
        with self._lock:
            self._numbers += numbers
            self._waiting[piece] = total
            while self._next in self._waiting:
                self._add_next(self._waiting.pop(self._next))
                self._next += 1

    def total(self) -> Any:
        """The sums over the whole tensor: an array if arrays were added, else a list of numbers.

        A number is nan if its sum is too large for a float or includes infinities of both signs.
        """
        if self._sum is not None:
            return self._sum
        return [_sum_exactly(column) for column in zip(*self._numbers, strict=True)]

    def _add_next(self, part: Sums | None) -> None:
        if self._sum is None:
            self._sum = part
        elif part is not None:
            self._sum += part


def _sum_exactly(parts: Sequence[float]) -> float:
    try:
        return math.fsum(parts)
    except (ValueError, OverflowError):  # infinities of both signs, or a sum beyond the largest number
        return math.nan


class BoundedMaskCache:
    """Stores masks of one blend for later passes, in at most `room` bytes; any thread may use it.

    A mask that does not fit is computed again in each pass.
    """

    def __init__(self, room: int = MASK_CACHE) -> None:
        self._room = room
        self._bits: dict[tuple[int, int, int], Array] = {}
        self._lock = threading.Lock()

    def get(self, tile: Tile, source: int, make: Callable[[], Mask]) -> Mask:
        """The mask of source number `source` in `tile`: the stored mask, or if none is stored, the result of `make`."""
        place = tile.start, len(tile.sources[0]), source
        bits = self._bits.get(place)
        if bits is not None:
            return tile.backend.unpack_mask(bits, place[1])
        mask = make()
        if self._room >= place[1] // 8:
            self._keep(place, tile.backend.pack_mask(mask))
        return mask

    def _keep(self, place: tuple[int, int, int], bits: Array) -> None:
        with self._lock:
            if self._room >= bits.nbytes:
                self._room -= bits.nbytes
                self._bits[place] = bits
