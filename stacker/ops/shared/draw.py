"""Counter-based random numbers: each depends only on the tensor's name, the source and the element's index.

No state is carried along (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011), so tiles may come in
any order. Each span of elements has keys from BLAKE2b, with which the indices within it are hashed.
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
"""Elements that share keys."""


def draw_numbers(tile: Tile, source: int, seed: int = 0) -> Array:
    """A uniform int32 from 0 to 2^31 − 1 for each element of a tile; `source` is the index of the source."""
    count = len(tile.sources[0])
    return tile.backend.hash_indices(count, list(_spans(tile, source, seed, tile.start + count)))


def _spans(tile: Tile, source: int, seed: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """For each key span that the tile overlaps: elements in the tile, index of the first within the span, two keys."""
    for span in range(tile.start // _KEY_SPAN, -(-end // _KEY_SPAN)):
        first, last = max(span * _KEY_SPAN, tile.start), min((span + 1) * _KEY_SPAN, end)
        yield last - first, first - span * _KEY_SPAN, *_keys(tile.seed, source, seed, span)


def bound_of(probability: float) -> int:
    """The bound that a drawn number is below with this probability; for 1, all but the greatest are."""
    return min(max(round(probability * (INT31_MAX + 1)), 0), INT31_MAX)


def _keys(name: str, source: int, seed: int, span: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{span}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little") & INT31_MAX, int.from_bytes(digest[4:], "little") & INT31_MAX
