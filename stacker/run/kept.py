"""Masks that one pass over a tensor leaves for the next, as bits, as far as there is room for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from stacker.core.budget import KEPT
from stacker.ops.model import Tile

if TYPE_CHECKING:
    from stacker.arithmetic.model import Array, Mask


class KeptMasks:
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
