"""Random numbers by place: each depends on the tensor's name, the source and the element's index alone.

A counter hashed instead of a state carried along (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011),
so tiles may come in any order. Each block of elements has a key from BLAKE2b; within it indices are mixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from stacker.arithmetic.backend import INT31_MAX
from stacker.ops.shared.op import Tile

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

_KEY_SPAN = 1 << 16
"""Elements that share a key."""


def draw_numbers(tile: Tile, source: int, seed: int = 0) -> Array:
    """For each element of a tile an int32 from 0 to 2^31 − 1, all equally likely; `source` is the source's number."""
    count = len(tile.sources[0])
    return tile.backend.hash_indices(count, list(_blocks(tile, source, seed, tile.start + count)))


def _blocks(tile: Tile, source: int, seed: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The blocks that a tile has a part of: how much of it, where in the block it begins, and the block's keys."""
    for block in range(tile.start // _KEY_SPAN, -(-end // _KEY_SPAN)):
        first, last = max(block * _KEY_SPAN, tile.start), min((block + 1) * _KEY_SPAN, end)
        yield last - first, first - block * _KEY_SPAN, *_key(tile.seed, source, seed, block)


def bound_of(chance: float) -> int:
    """The bound below which a drawn number lies with that chance; never quite always."""
    return min(max(round(chance * (INT31_MAX + 1)), 0), INT31_MAX)


def _key(name: str, source: int, seed: int, block: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{block}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little") & INT31_MAX, int.from_bytes(digest[4:], "little") & INT31_MAX
