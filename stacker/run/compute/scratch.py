"""Memory that a worker computes in: a few tiles, taken once and used for every tensor, and bytes in and out of them.

A tile is some elements of a tensor, as many as the room says or fewer, in the type of the arithmetic, fp32 or fp64.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stacker.core.plan.memory import TILE
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.tensors import Dtype

if TYPE_CHECKING:
    from stacker.arithmetic.interface import Arithmetic, Array


@dataclass(frozen=True, slots=True)
class ScratchSize:
    """How much scratch a tensor takes: `slots` tiles of `elements`, each of `width` bytes."""

    slots: int = 0
    width: int = 4
    elements: int = TILE

    def __or__(self, other: ScratchSize) -> ScratchSize:
        """Room enough for either."""
        return ScratchSize(
            max(self.slots, other.slots), max(self.width, other.width), max(self.elements, other.elements)
        )


class Scratch(Protocol):
    """Room for a worker's tiles, and for the raw bytes of one on their way in or out."""

    on: Arithmetic

    def tile(self, slot: int, count: int, kind: Dtype) -> Array:
        """The first `count` elements of a slot."""
        ...

    def raw(self, count: int, dtype: Dtype) -> Array:
        """Room for `count` elements of any type that the arithmetic's width holds."""
        ...

    def load(self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        """A tile of what `read` puts into the bytes it is given, elements of `dtype`."""
        ...

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        """A tile's values as bytes of `dtype`, each rounded once; they lie here until the scratch's next use.

        Their address leaves `residue` when divided by BLOCK, if the type's alignment lets it.
        """
        ...


class HostScratch:
    """Scratch of the processor. Fresh pages cost more than the arithmetic on them: they are touched once and kept."""

    def __init__(self, room: ScratchSize) -> None:
        from stacker.arithmetic.processor import PROCESSOR

        self.on: Arithmetic = PROCESSOR
        self._size = room.elements * room.width
        self._tiles = DIRECT_ALIGNMENT + self._size
        nbytes = self._tiles + room.slots * self._size
        self._bytes = memoryview(mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def tile(self, slot: int, count: int, kind: Dtype) -> Array:
        return self.on.array(self._tile_bytes(slot, count, kind), kind)

    def raw(self, count: int, dtype: Dtype) -> Array:
        return self.on.array(self._raw_bytes(count, dtype), dtype)

    def load(self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        tile = self.tile(slot, count, kind)
        if dtype is kind:
            read(self._tile_bytes(slot, count, kind))
            return tile
        read(self._raw_bytes(count, dtype))
        return self.on.convert(tile, self.raw(count, dtype))

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        held = self._raw_bytes(len(tile), dtype, residue if residue * 8 % dtype.bits == 0 else 0)
        self.on.convert(self.on.array(held, dtype), tile)
        return held

    def _raw_bytes(self, count: int, dtype: Dtype, begin: int = 0) -> memoryview:
        return self._bytes[begin : begin + count * dtype.bits // 8]

    def _tile_bytes(self, slot: int, count: int, kind: Dtype) -> memoryview:
        begin = self._tiles + slot * self._size
        return self._bytes[begin : begin + count * kind.bits // 8]
