"""Random bits by place: each depends on the tensor's name, the source and the element's index alone.

A counter hashed instead of a state carried along (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011),
so tiles may come in any order. Each block of elements has a key from BLAKE2b; within it indices are mixed by the
32-bit permutation `lowbias32` (Wellons, Hash prospector, 2018).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from stacker.ops.model import Tile

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 16
"""Elements that share a key."""


def draw(tile: Tile, source: int, seed: int = 0) -> torch.Tensor:
    """A random int32 for each element of a tile, every value equally likely; `source` is the source's number."""
    import torch

    device = tile.sources[0].device
    bits = torch.arange(len(tile.sources[0]), dtype=torch.int32, device=device)
    end = tile.start + len(bits)
    for block in range(tile.start // _BLOCK, -(-end // _BLOCK)):
        begin = max(block * _BLOCK - tile.start, 0)
        part = bits[begin : (block + 1) * _BLOCK - tile.start]
        first, second = _key(tile.seed, source, seed, block)
        _mix(part.add_(tile.start - block * _BLOCK).bitwise_xor_(first)).bitwise_xor_(second)
    return bits


def at_most(chance: float) -> int:
    """The bound below which a drawn number lies with that chance."""
    return min(max(round(chance * 2.0**32), 0), 2**32) - 2**31


def _key(name: str, source: int, seed: int, block: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{block}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little", signed=True), int.from_bytes(digest[4:], "little", signed=True)


def _mix(bits: torch.Tensor) -> torch.Tensor:
    _fold(bits, 16).mul_(0x7FEB352D)
    _fold(bits, 15).mul_(0x846CA68B - 2**32)
    return _fold(bits, 16)


def _fold(bits: torch.Tensor, by: int) -> torch.Tensor:
    """x ^= x >> by, the shift one of unsigned numbers."""
    return bits.bitwise_xor_((bits >> by).bitwise_and_((1 << (32 - by)) - 1))
