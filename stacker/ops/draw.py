"""Random bits by place: each depends on the tensor's name, the source and the element's index alone.

A counter hashed instead of a state carried along (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011),
so tiles may come in any order. Each block of elements has a key from BLAKE2b; within it indices are mixed by the
permutation `lowbias32` (Wellons, Hash prospector, 2018), over 31 bits, which spares torch the signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from stacker.ops.masks import MOST
from stacker.ops.model import Tile

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 16
"""Elements that share a key."""


def draw(tile: Tile, source: int, seed: int = 0) -> torch.Tensor:
    """For each element of a tile an int32 from 0 to 2^31 − 1, all equally likely; `source` is the source's number."""
    import torch

    drawn = torch.empty(len(tile.sources[0]), dtype=torch.int32, device=tile.sources[0].device)
    places = torch.arange(_BLOCK, dtype=torch.int32, device=drawn.device)
    parts = list(_parts(tile, source, seed, len(drawn)))
    for part, inside, (before, _) in parts:
        torch.bitwise_xor(places[inside], before, out=drawn[part])
    _mix(drawn)
    for part, _, (_, after) in parts:
        drawn[part].bitwise_xor_(after)
    return drawn


def _parts(tile: Tile, source: int, seed: int, count: int) -> Iterator[tuple[slice, slice, tuple[int, int]]]:
    """The blocks that a tile has a part of: where the part is in the tile, where in the block, and the block's keys."""
    end = tile.start + count
    for block in range(tile.start // _BLOCK, -(-end // _BLOCK)):
        first, last = max(block * _BLOCK, tile.start), min((block + 1) * _BLOCK, end)
        inside = slice(first - block * _BLOCK, last - block * _BLOCK)
        yield slice(first - tile.start, last - tile.start), inside, _key(tile.seed, source, seed, block)


def at_most(chance: float) -> int:
    """The bound below which a drawn number lies with that chance; never quite always."""
    return min(max(round(chance * (MOST + 1)), 0), MOST)


def _key(name: str, source: int, seed: int, block: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{block}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little") & MOST, int.from_bytes(digest[4:], "little") & MOST


def _mix(bits: torch.Tensor) -> None:
    """All steps can be undone, so no number is more likely than another."""
    import torch

    spare = torch.empty_like(bits)
    _fold(bits, 16, spare).mul_(0x7FEB352D).bitwise_and_(MOST)
    _fold(bits, 15, spare).mul_(0x846CA68B - 2**32).bitwise_and_(MOST)
    _fold(bits, 16, spare)


def _fold(bits: torch.Tensor, by: int, spare: torch.Tensor) -> torch.Tensor:
    """x ^= x >> by"""
    import torch

    return bits.bitwise_xor_(torch.bitwise_right_shift(bits, by, out=spare))
