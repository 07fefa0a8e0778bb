"""Scratch memory of a worker: slots for a few tiles, allocated once, and the conversion of bytes to tiles and back.

A tile is a run of elements of a tensor in the type of the arithmetic, fp32 or fp64.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stacker.core.plan.costs import TILE
from stacker.io.disk.direct import DIRECT_ALIGNMENT
from stacker.tensors import Dtype

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Backend


@dataclass(frozen=True, slots=True)
class ScratchSize:
    """How much scratch memory a tensor needs: `slots` tiles of `elements` elements, `width` bytes each."""

    slots: int = 0
    width: int = 4
    elements: int = TILE

    def __or__(self, other: ScratchSize) -> ScratchSize:
        """The smallest size that is enough for both."""
        return ScratchSize(
            max(self.slots, other.slots), max(self.width, other.width), max(self.elements, other.elements)
        )


class Scratch(Protocol):
    """Scratch memory of one worker: slots for tiles, and room for one tile's raw bytes. `on` computes with them."""

    backend: Backend

    def tile(self, slot: int, count: int, kind: Dtype) -> Array:
        """The first `count` elements of a slot, of type `kind`."""
        ...

    def raw(self, count: int, dtype: Dtype) -> Array:
        """The room for raw bytes as `count` elements of `dtype`, which is no wider than the arithmetic's type."""
        ...

    def load(self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        """Fill a slot: `read` fills the bytes it is passed with `count` elements of `dtype`, converted to `kind`."""
        ...

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        """A tile's values rounded once to `dtype`, as bytes that are valid until the scratch is used again.

        Their address is `residue` modulo DIRECT_ALIGNMENT, if `residue` is a multiple of the element's size.
        """
        ...


class HostScratch:
    """Scratch in the machine's memory. It is kept: touching fresh pages costs more than the arithmetic on them."""

    def __init__(self, size: ScratchSize) -> None:
        from stacker.arithmetic.numpy_backend import NUMPY

        self.backend: Backend = NUMPY
        self._size = size.elements * size.width
        self._tiles = DIRECT_ALIGNMENT + self._size
        nbytes = self._tiles + size.slots * self._size
        self._bytes = memoryview(mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def tile(self, slot: int, count: int, kind: Dtype) -> Array:
        return self.backend.array(self._tile_bytes(slot, count, kind), kind)

    def raw(self, count: int, dtype: Dtype) -> Array:
        return self.backend.array(self._raw_bytes(count, dtype), dtype)

    def load(self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        tile = self.tile(slot, count, kind)
        if dtype is kind:
            read(self._tile_bytes(slot, count, kind))
            return tile
        read(self._raw_bytes(count, dtype))
        return self.backend.convert(tile, self.raw(count, dtype))

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        held = self._raw_bytes(len(tile), dtype, residue if residue * 8 % dtype.bits == 0 else 0)
        self.backend.convert(self.backend.array(held, dtype), tile)
        return held

    def _raw_bytes(self, count: int, dtype: Dtype, begin: int = 0) -> memoryview:
        return self._bytes[begin : begin + count * dtype.bits // 8]

    def _tile_bytes(self, slot: int, count: int, kind: Dtype) -> memoryview:
        begin = self._tiles + slot * self._size
        return self._bytes[begin : begin + count * kind.bits // 8]
