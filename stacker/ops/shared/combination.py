"""Weighted sums of a tile's sources, and inner products: what ops that stay in the span of their sources share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Statistics, Tile

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

Gram = list[list[float]]
"""Inner products of vectors, one by one."""


def subtract_base(tile: Tile) -> Sequence[Array]:
    """The sources less the base where there is one; the sources are overwritten."""
    return tile.sources if tile.base is None else tile.backend.subtract(tile.sources, tile.base)


def combine_deltas(factors: Sequence[float], tile: Tile) -> Array:
    """Base + Σ fᵢ(xᵢ − base), or without a base Σ fᵢxᵢ."""
    return tile.backend.combine(factors, tile.sources, tile.base)


def add_base(result: Array, tile: Tile) -> Array:
    """What was made of differences from the base, added to it; without a base it stays as it is."""
    return result if tile.base is None else tile.backend.add(result, tile.base)


def measure_inner_products(tile: Tile, _statistics: Statistics) -> list[float]:
    """⟨vᵢ, vⱼ⟩ for i ≤ j, in fp64, of the sources or what they add to the base."""
    return tile.backend.inner_products(subtract_base(tile))


def build_gram(sums: Sequence[float], _statistics: Statistics = ()) -> Gram:
    """The whole table of `products`."""
    pairs = list_pairs(len(sums))
    table = [[0.0] * (pairs[-1][0] + 1) for _ in range(pairs[-1][0] + 1)]
    for (i, j), value in zip(pairs, sums, strict=True):
        table[i][j] = table[j][i] = value
    return table


def list_pairs(products: int) -> list[tuple[int, int]]:
    """The i ≤ j that so many inner products are of, in their order."""
    count = next(count for count in range(products + 1) if count * (count + 1) // 2 == products)
    return list(combinations_with_replacement(range(count), 2))


def inner_product(one: Sequence[float], other: Sequence[float], table: Gram) -> float:
    """The inner product of two weighted sums."""
    return sum(a * b * table[i][j] for i, a in enumerate(one) for j, b in enumerate(other))
