"""Computes differences from the base, weighted sums of a tile's sources, and inner products of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Statistics, Tile

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

Gram = list[list[float]]
"""A Gram matrix: entry [i][j] is the inner product of vector i and vector j."""


def subtract_base(tile: Tile) -> Sequence[Array]:
    """The sources of a tile minus its base, computed in place; if the tile has no base, its sources unchanged."""
    return tile.sources if tile.base is None else tile.backend.subtract(tile.sources, tile.base)


def add_base(result: Array, tile: Tile) -> Array:
    """`result` plus the base of the tile, computed in place; if the tile has no base, `result` unchanged."""
    return result if tile.base is None else tile.backend.add(result, tile.base)


def combine_deltas(factors: Sequence[float], tile: Tile) -> Array:
    """base + Σ fᵢ(xᵢ − base) over the sources xᵢ, or Σ fᵢxᵢ if the tile has no base; overwrites the first source."""
    return tile.backend.combine(factors, tile.sources, tile.base)


def measure_inner_products(tile: Tile, _statistics: Statistics) -> list[float]:
    """The inner products of the vectors vᵢ and vⱼ of a tile for all i ≤ j, in fp64 and in the order of `list_pairs`.

    The vector vᵢ is source i minus the base, or source i alone if the tile has no base.
    """
    return tile.backend.inner_products(subtract_base(tile))


def build_gram(products: Sequence[float]) -> Gram:
    """The full Gram matrix, from the inner products of all pairs (i, j) with i ≤ j in the order of `list_pairs`."""
    pairs = list_pairs(len(products))
    table = [[0.0] * (pairs[-1][0] + 1) for _ in range(pairs[-1][0] + 1)]
    for (i, j), value in zip(pairs, products, strict=True):
        table[i][j] = table[j][i] = value
    return table


def list_pairs(products: int) -> list[tuple[int, int]]:
    """All index pairs (i, j) with i ≤ j for n vectors, found from the number of these pairs, `products` = n(n + 1)/2.

    For example, 3 pairs belong to 2 vectors: (0, 0), (0, 1), (1, 1).
    """
    count = next(count for count in range(products + 1) if count * (count + 1) // 2 == products)
    return list(combinations_with_replacement(range(count), 2))


def inner_product(one: Sequence[float], other: Sequence[float], table: Gram) -> float:
    """The inner product of two weighted sums of the same vectors, whose Gram matrix is `table`.

    `one` and `other` are the weights of the two sums, one weight for each vector.
    """
    return sum(a * b * table[i][j] for i, a in enumerate(one) for j, b in enumerate(other))
