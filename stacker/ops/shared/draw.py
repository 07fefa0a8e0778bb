"""Counter-based random numbers: each one depends only on the seed, the tensor's name, the source and the element.

There is no state (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011), so tiles may come in any order.
BLAKE2b makes two keys for each span of 65,536 elements, with which the index of each element in its span is hashed.
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
"""How many consecutive elements share the same keys."""


def draw_numbers(tile: Tile, source: int, seed: int = 0) -> Array:
    """A uniform int32 from 0 to 2^31 − 1 for each element of a tile; `source` is the index of the source."""
    count = len(tile.sources[0])
    return tile.backend.hash_indices(count, list(_spans(tile, source, seed, tile.start + count)))


def _spans(tile: Tile, source: int, seed: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields for each span in the tile: how many elements of it, the index of the first within it, and two keys."""
    for span in range(tile.start // _KEY_SPAN, -(-end // _KEY_SPAN)):
        first, last = max(span * _KEY_SPAN, tile.start), min((span + 1) * _KEY_SPAN, end)
        yield last - first, first - span * _KEY_SPAN, *_keys(tile.seed, source, seed, span)


def bound_of(probability: float) -> int:
    """The bound below which a number from `draw_numbers` lies with this probability (almost surely for 1)."""
    return min(max(round(probability * (INT31_MAX + 1)), 0), INT31_MAX)


def _keys(name: str, source: int, seed: int, span: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{span}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little") & INT31_MAX, int.from_bytes(digest[4:], "little") & INT31_MAX
