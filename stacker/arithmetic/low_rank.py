"""Finds low-rank approximations of large matrices by randomised SVD, reading each matrix a few times in tiles of rows.

Halko, Martinsson and Tropp, Finding structure with randomness (SIAM Review 53, 2011), algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Tiles = Callable[[], Iterator[tuple[int, Matrix]]]
"""A function that yields the matrix as tiles of whole rows, each with the number of its first row."""
_EXTRA = 8
"""How many singular vectors more than needed are sought, so that the needed ones are accurate."""
_ITERATIONS = 2
"""How often the matrix and its transpose are applied to sharpen the sought space."""
_FIRST_RANK = 16
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Times the root of the larger side: singular values smaller than this share of the largest are rounding errors."""


@dataclass(frozen=True, slots=True)
class Approximation:
    """`left` [rows, rank] times `right` [rank, columns] approximates a matrix.

    `total` is the squared Frobenius norm of the matrix, and `kept` that of the approximation; their difference is
    exact only to fp32.
    """

    left: Matrix
    right: Matrix
    total: float
    kept: float

    @property
    def rank(self) -> int:
        return len(self.right)


def approximate(tiles: Tiles, shape: tuple[int, int], rank: int) -> Approximation:
    """The best approximation of a matrix of this shape by a product of this rank, up to small errors."""
    u, values, v, total = _decompose(tiles, shape, min(rank + _EXTRA, *shape))
    return _cut(u, values, v, total, min(rank, *shape))


def approximate_to(tiles: Tiles, shape: tuple[int, int], energy: float) -> Approximation:
    """The product of the smallest rank that keeps this share of the squared Frobenius norm of a matrix.

    Singular values as small as those that rounding to fp32 makes are left out.
    """
    sought = min(_FIRST_RANK, *shape)
    while True:
        u, values, v, total = _decompose(tiles, shape, min(sought + _EXTRA, *shape))
        kept = np.cumsum(values.astype(np.float64) ** 2)
        real = max(int((values > values[0] * max(shape) ** 0.5 * _ROUNDING).sum()), 1)
        enough = min(int(np.searchsorted(kept, energy * total)) + 1, real)
        if enough <= sought or sought == min(shape):
            return _cut(u, values, v, total, min(enough, sought))
        sought = min(2 * sought, *shape)


def _cut(u: Matrix, values: Matrix, v: Matrix, total: float, rank: int) -> Approximation:
    """The first `rank` singular vectors, with the root of each singular value on either side."""
    roots = np.sqrt(values[:rank])
    kept = float((values[:rank].astype(np.float64) ** 2).sum())
    return Approximation(u[:, :rank] * roots, roots[:, None] * v[:rank], total, min(kept, total))


def _decompose(tiles: Tiles, shape: tuple[int, int], count: int) -> tuple[Matrix, Matrix, Matrix, float]:
    """About the `count` largest singular values, with their vectors, and the squared Frobenius norm of the matrix."""
    start = np.random.default_rng(0).standard_normal((shape[1], count)).astype(np.float32)
    total = 0.0
    sample = np.empty((shape[0], count), np.float32)
    for first, tile in tiles():
        total += float(np.einsum("ij,ij->", tile, tile, dtype=np.float64))
        sample[first : first + len(tile)] = tile @ start
    basis = _orthogonalise(sample)
    for _ in range(_ITERATIONS):
        across = _orthogonalise(_transpose_times(tiles, basis, shape[1]))
        for first, tile in tiles():
            sample[first : first + len(tile)] = tile @ across
        basis = _orthogonalise(sample)
    u, values, v = np.linalg.svd(_transpose_times(tiles, basis, shape[1]).T, full_matrices=False)
    return basis @ u, values, v, total


def _transpose_times(tiles: Tiles, basis: Matrix, columns: int) -> Matrix:
    found = np.zeros((columns, basis.shape[1]), np.float32)
    for first, tile in tiles():
        found += tile.T @ basis[first : first + len(tile)]
    return found


def _orthogonalise(sample: Matrix) -> Matrix:
    return np.linalg.qr(sample)[0]
