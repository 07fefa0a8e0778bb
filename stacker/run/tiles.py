"""Memory that a worker computes in: a few tiles, taken once and used for every tensor, and bytes in and out of them.

A tile is some elements of a tensor, as many as the room says or fewer, in the type of the arithmetic, fp32 or fp64.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stacker.core.budget import TILE
from stacker.tensors import Dtype

if TYPE_CHECKING:
    import torch


_LARGEST_E4M3 = 448.0


@dataclass(frozen=True, slots=True)
class Room:
    """How much scratch a tensor takes: `slots` tiles of `width` bytes an element, and `wide` fp64 tiles for its ops.

    A tile has `elements`.
    """

    slots: int = 0
    width: int = 4
    wide: int = 0
    elements: int = TILE

    def __or__(self, other: Room) -> Room:
        """Room enough for either."""
        return Room(
            max(self.slots, other.slots),
            max(self.width, other.width),
            max(self.wide, other.wide),
            max(self.elements, other.elements),
        )


class Scratch:
    """Room for a worker's tiles, and for the raw bytes of one on their way in or out.

    Fresh pages cost more than the arithmetic on them, so they are touched once and kept.
    """

    def __init__(self, room: Room) -> None:
        self._size = room.elements * room.width
        self._wide = (1 + room.slots) * self._size
        self._wide_size = room.elements * 8
        nbytes = self._wide + room.wide * self._wide_size
        self._memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._bytes = memoryview(self._memory)

    def tile(self, slot: int, count: int, kind: Dtype) -> torch.Tensor:
        """The first `count` elements of a slot."""
        return self._tensor((1 + slot) * self._size, count, kind)

    def tile_bytes(self, slot: int, count: int, kind: Dtype) -> memoryview:
        """The same memory as `tile`, as bytes."""
        begin = (1 + slot) * self._size
        return self._bytes[begin : begin + count * kind.bits // 8]

    def raw(self, count: int, dtype: Dtype) -> torch.Tensor:
        """Room for `count` elements of any type that the arithmetic's width holds."""
        return self._tensor(0, count, dtype)

    def raw_bytes(self, count: int, dtype: Dtype) -> memoryview:
        """The same memory as `raw`, as bytes."""
        return self._bytes[: count * dtype.bits // 8]

    def load(
        self, slot: int, count: int, kind: Dtype, dtype: Dtype, read: Callable[[memoryview], None]
    ) -> torch.Tensor:
        """A tile of what `read` puts into the bytes it is given, elements of `dtype`; converted only where it must."""
        direct = dtype is kind
        read(self.tile_bytes(slot, count, kind) if direct else self.raw_bytes(count, dtype))
        tile = self.tile(slot, count, kind)
        return tile if direct else tile.copy_(self.raw(count, dtype))

    def unload(self, tile: torch.Tensor, dtype: Dtype) -> memoryview:
        """A tile's values as bytes of `dtype`, each rounded once; they lie in the scratch until its next use."""
        round_into(self.raw(tile.numel(), dtype), tile)
        return self.raw_bytes(tile.numel(), dtype)

    def wide(self, number: int, count: int) -> torch.Tensor:
        """The first `count` elements of an fp64 tile that ops may write into."""
        return self._tensor(self._wide + number * self._wide_size, count, Dtype.F64)

    def _tensor(self, offset: int, count: int, dtype: Dtype) -> torch.Tensor:
        import torch

        kind = getattr(torch, dtype.torch_name)
        return torch.frombuffer(self._memory, dtype=kind, count=count, offset=offset)


def round_into(target: torch.Tensor, tile: torch.Tensor) -> None:
    """Put a tile's values into a tensor of another type, each rounded once, to nearest even; the tile may change."""
    import torch

    if target.dtype is torch.float8_e4m3fn:  # has no infinity; torch before 2.13 makes NaN of what is past its range
        tile = tile.clamp_(-_LARGEST_E4M3, _LARGEST_E4M3)
    if tile.dtype is torch.float64 and target.dtype not in (torch.float64, torch.float32):
        tile = _rounded_to_odd(tile)
    target.copy_(tile)


def _rounded_to_odd(tile: torch.Tensor) -> torch.Tensor:
    """fp64 as fp32 with the last bit set where it is inexact: what is rounded to fewer bits after is rounded right.

    torch goes from fp64 to the narrow types by way of a rounded fp32. See Boldo and Melquiond, Emulation of FMA and
    correctly rounded sums (IEEE Trans. Computers 2008), section 3.
    """
    import torch

    near = tile.float()
    toward_zero = torch.where(near.double().abs() > tile.abs(), near.nextafter(near.new_zeros(())), near)
    inexact = (near.double() != tile).int()
    return (toward_zero.view(torch.int32) | inexact).view(torch.float32)
