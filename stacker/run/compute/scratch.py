"""Allocates a worker thread's scratch memory once, and converts bytes into tiles and tiles into bytes there.

A tile is a range of a tensor's elements, converted to the dtype used for computing (fp32 or fp64). Scratch memory has
numbered slots, each for one tile.
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
    """How much scratch memory a tensor needs: `slots` tiles of `elements` elements, each element `width` bytes wide."""

    slots: int = 0
    width: int = 4
    elements: int = TILE

    def __or__(self, other: ScratchSize) -> ScratchSize:
        """The smallest scratch size that covers this one and `other`."""
        return ScratchSize(
            max(self.slots, other.slots), max(self.width, other.width), max(self.elements, other.elements)
        )


class Scratch(Protocol):
    """Scratch memory of one worker thread: numbered slots for one tile each, and a buffer for a tile's raw bytes.

    The backend `backend` computes with the tiles.
    """

    backend: Backend

    def tile(self, slot: int, count: int, kind: Dtype) -> Array:
        """A view of the first `count` elements of slot number `slot`, as dtype `kind`."""
        ...

    def raw(self, count: int, dtype: Dtype) -> Array:
        """A view of the raw-byte buffer as `count` elements of `dtype`, which is not wider than the tiles' dtype."""
        ...

    def load(self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        """Read `count` elements into slot number `slot`, converted to dtype `kind`, and return a view of them.

        `read` is called with a buffer, which it must fill with the elements as dtype `dtype`.
        """
        ...

    def fill(self, slot: int, count: int, kind: Dtype, write: Callable[[Array], None]) -> Array:
        """Set `count` elements of slot number `slot` and return a view; `write` puts them into a numpy array."""
        ...

    def keep(self, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        """Read `count` elements as `load` does, but into new memory, which all threads may use."""
        ...

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        """Round the values of a tile to `dtype` and return them as bytes, valid until the scratch memory is used again.

        If `residue` is a multiple of the element size, the bytes start `residue` bytes after an address divisible by
        DIRECT_ALIGNMENT, so that they can be written without the page cache to a file offset with that remainder.
        """
        ...

    def rescale(
        self, count: int, dtype: Dtype, factor: float, residue: int, read: Callable[[memoryview], None]
    ) -> memoryview:
        """Read `count` elements of a quantised type, multiply the scales of their blocks, and return their bytes.

        `read` and `residue` are as in `load` and `unload`.
        """
        ...

    def round_blocks(self, tile: Array, dtype: Dtype) -> Array:
        """Round the values of a tile to a quantised type; the tile stays in the dtype used for computing."""
        ...


def decode_blocks(held: memoryview, dtype: Dtype, tile: Array) -> Array:
    """Write the elements of blocks of a quantised type to a tile in host memory, and return the tile."""
    from stacker.arithmetic import blocks

    return blocks.decode(_bytes_array(held), dtype, tile)


def encode_blocks(tile: Array, dtype: Dtype, held: memoryview) -> memoryview:
    """Write the values of a tile in host memory to `held` as blocks of a quantised type, and return `held`."""
    from stacker.arithmetic import blocks

    blocks.encode(tile, dtype, _bytes_array(held))
    return held


def rescale_blocks(held: memoryview, dtype: Dtype, factor: float) -> memoryview:
    """Multiply the scales of blocks in host memory by a factor, and return their bytes."""
    from stacker.arithmetic import blocks

    blocks.rescale(_bytes_array(held), dtype, factor)
    return held


def _bytes_array(held: memoryview) -> Array:
    import numpy as np

    return np.frombuffer(held, np.uint8)


class HostScratch:
    """Scratch memory on the CPU, allocated once and reused because the first use of new memory pages is slow."""

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
        held = self._raw_bytes(count, dtype)
        read(held)
        if dtype.block > 1:
            return decode_blocks(held, dtype, tile)
        return self.backend.convert(tile, self.raw(count, dtype))

    def fill(self, slot: int, count: int, kind: Dtype, write: Callable[[Array], None]) -> Array:
        tile = self.tile(slot, count, kind)
        write(tile)
        return tile

    def keep(self, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]) -> Array:
        stored = memoryview(bytearray(dtype.nbytes(count)))
        read(stored)
        if dtype is kind:
            return self.backend.array(stored, kind)
        target = self.backend.array(memoryview(bytearray(kind.nbytes(count))), kind)
        if dtype.block > 1:
            return decode_blocks(stored, dtype, target)
        return self.backend.convert(target, self.backend.array(stored, dtype))

    def unload(self, tile: Array, dtype: Dtype, residue: int = 0) -> memoryview:
        held = self._raw_bytes(len(tile), dtype, residue if dtype.block > 1 or residue % dtype.size == 0 else 0)
        if dtype.block > 1:
            return encode_blocks(tile, dtype, held)
        self.backend.convert(self.backend.array(held, dtype), tile)
        return held

    def rescale(
        self, count: int, dtype: Dtype, factor: float, residue: int, read: Callable[[memoryview], None]
    ) -> memoryview:
        held = self._raw_bytes(count, dtype, residue)
        read(held)
        return rescale_blocks(held, dtype, factor)

    def round_blocks(self, tile: Array, dtype: Dtype) -> Array:
        return decode_blocks(encode_blocks(tile, dtype, self._raw_bytes(len(tile), dtype)), dtype, tile)

    def _raw_bytes(self, count: int, dtype: Dtype, begin: int = 0) -> memoryview:
        return self._bytes[begin : begin + dtype.nbytes(count)]

    def _tile_bytes(self, slot: int, count: int, kind: Dtype) -> memoryview:
        begin = self._tiles + slot * self._size
        return self._bytes[begin : begin + count * kind.bits // 8]
