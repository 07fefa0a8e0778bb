"""Differences from the base, weighted sums of a tile's sources, and inner products of sources."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Statistics, Tile

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

Gram = list[list[float]]
"""A Gram matrix: the inner products of all pairs of vectors."""


def subtract_base(tile: Tile) -> Sequence[Array]:
    """xᵢ − base for each source, written into the sources; without a base it returns the sources unchanged."""
    return tile.sources if tile.base is None else tile.backend.subtract(tile.sources, tile.base)


def add_base(result: Array, tile: Tile) -> Array:
    """`result` + base, written into `result`; without a base it returns `result` unchanged."""
    return result if tile.base is None else tile.backend.add(result, tile.base)


def combine_deltas(factors: Sequence[float], tile: Tile) -> Array:
    """base + Σ fᵢ(xᵢ − base), or Σ fᵢxᵢ without a base, written into the first source."""
    return tile.backend.combine(factors, tile.sources, tile.base)


def measure_inner_products(tile: Tile, _statistics: Statistics) -> list[float]:
    """⟨vᵢ, vⱼ⟩ for i ≤ j, in fp64, where vᵢ is source i, or with a base its difference from the base."""
    return tile.backend.inner_products(subtract_base(tile))


def build_gram(products: Sequence[float]) -> Gram:
    """The full Gram matrix, from the inner products of the pairs i ≤ j in the order of `list_pairs`."""
    pairs = list_pairs(len(products))
    table = [[0.0] * (pairs[-1][0] + 1) for _ in range(pairs[-1][0] + 1)]
    for (i, j), value in zip(pairs, products, strict=True):
        table[i][j] = table[j][i] = value
    return table


def list_pairs(products: int) -> list[tuple[int, int]]:
    """The pairs (i, j) with i ≤ j, (0, 0), (0, 1) and so on; `products` is how many pairs there are."""
    count = next(count for count in range(products + 1) if count * (count + 1) // 2 == products)
    return list(combinations_with_replacement(range(count), 2))


def inner_product(one: Sequence[float], other: Sequence[float], table: Gram) -> float:
    """The inner product of two weighted sums, with the weights `one` and `other`, of the vectors of a Gram matrix."""
    return sum(a * b * table[i][j] for i, a in enumerate(one) for j, b in enumerate(other))
