"""Weighted sums of a tile's sources, and inner products: what ops that stay in the span of their sources share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from stacker.ops.model import Known, Tile

if TYPE_CHECKING:
    import torch

Gram = list[list[float]]
"""Inner products of vectors, one by one."""


def combine(factors: Sequence[float], sources: Sequence[torch.Tensor]) -> torch.Tensor:
    """Σ fᵢxᵢ in the memory of one source. One of factor 0 does not count at all: its NaN and infinities stay out."""
    used = [(source, factor) for source, factor in zip(sources, factors, strict=True) if factor]
    if not used:
        return sources[0].zero_()
    result, factor = used[0]
    result.mul_(factor)
    for source, weight in used[1:]:
        result.add_(source, alpha=weight)
    return result


def deltas(tile: Tile) -> Sequence[torch.Tensor]:
    """The sources less the base where there is one; the sources are overwritten."""
    if tile.base is None:
        return tile.sources
    return [source.sub_(tile.base) for source in tile.sources]


def combine_deltas(factors: Sequence[float], tile: Tile) -> torch.Tensor:
    """Base + Σ fᵢ(xᵢ − base), or without a base Σ fᵢxᵢ."""
    return on_base(combine(factors, deltas(tile)), tile)


def on_base(result: torch.Tensor, tile: Tile) -> torch.Tensor:
    """What was made of differences from the base, added to it; without a base it stays as it is."""
    return result if tile.base is None else result.add_(tile.base)


def products(tile: Tile, known: Known) -> list[float]:  # noqa: ARG001 - a Measure
    """⟨vᵢ, vⱼ⟩ for i ≤ j, in fp64, of the sources or what they add to the base; the op asks for a scratch tile."""
    import torch

    vectors = deltas(tile)
    pairs = list(combinations_with_replacement(range(len(vectors)), 2))
    size = max(len(vectors[0]) // len(vectors), 1)
    room = _room(tile, len(vectors) * size).view(len(vectors), size)
    sums = []
    for start in range(0, len(vectors[0]), size):
        cuts = [vector[start : start + size] for vector in vectors]
        wide = [home[: len(cut)].copy_(cut) for home, cut in zip(room, cuts, strict=True)]
        sums += [wide[i].dot(wide[j]) for i, j in pairs]
    return [float(total) for total in torch.stack(sums).view(-1, len(pairs)).sum(0)]


def _room(tile: Tile, count: int) -> torch.Tensor:
    """Of the scratch, so many elements; new where a tile has fewer elements than the op has sources."""
    (scratch,) = tile.scratch[:1]
    return scratch[:count] if len(scratch) >= count else scratch.new_empty(count)


def gram(sums: Sequence[float], known: Known) -> Gram:  # noqa: ARG001 - a Finish
    """The whole table of `products`."""
    count = next(count for count in range(len(sums) + 1) if count * (count + 1) // 2 == len(sums))
    table = [[0.0] * count for _ in range(count)]
    values = iter(sums)
    for i in range(count):
        for j in range(i, count):
            table[i][j] = table[j][i] = next(values)
    return table


def inner(one: Sequence[float], other: Sequence[float], table: Gram) -> float:
    """The inner product of two weighted sums."""
    return sum(a * b * table[i][j] for i, a in enumerate(one) for j, b in enumerate(other))
