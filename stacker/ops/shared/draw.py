"""Makes random numbers without state: each depends only on a seed, the tensor's name, the source and the element.

Tiles can therefore be computed in any order (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).
BLAKE2b makes two keys for every 65,536 consecutive elements; a number is a hash of the element's index and these keys.
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
"""How many consecutive elements of a tensor (a span) use the same two keys."""


def draw_numbers(tile: Tile, source: int, seed: int = 0) -> Array:
    """One random int32 for each element of a tile, uniform from 0 to 2^31 − 1.

    The numbers differ for each source, so `source` is the index of the source they are for.
    """
    count = len(tile.sources[0])
    return tile.backend.hash_indices(count, list(_spans(tile, source, seed, tile.start + count)))


def _spans(tile: Tile, source: int, seed: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield a tuple for each span (65,536 elements that share two keys) with elements in the tile.

    The tuple has the number of these elements, the index within the span of the first of them, and the two keys. `end`
    is the index after the tile's last element.
    """
    for span in range(tile.start // _KEY_SPAN, -(-end // _KEY_SPAN)):
        first, last = max(span * _KEY_SPAN, tile.start), min((span + 1) * _KEY_SPAN, end)
        yield last - first, first - span * _KEY_SPAN, *_keys(tile.seed, source, seed, span)


def bound_of(probability: float) -> int:
    """The integer such that a number from `draw_numbers` is below it with the given probability.

    For probability 1, about one number in 2^31 is still not below it.
    """
    return min(max(round(probability * (INT31_MAX + 1)), 0), INT31_MAX)


def _keys(name: str, source: int, seed: int, span: int) -> tuple[int, int]:
    digest = blake2b(f"{seed}/{source}/{span}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little") & INT31_MAX, int.from_bytes(digest[4:], "little") & INT31_MAX
