"""Adds products of thin matrices to tiles, and keeps the factors of these products while a tensor is computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from stacker.core.plan.costs import RANK_STEP
from stacker.core.values.expression import LowRank
from stacker.core.values.matrix_parts import Strides
from stacker.errors import DonorError
from stacker.tensors import TensorRef

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Backend

    Factors = tuple[Array, Array]

LoadTensor = Callable[[TensorRef], "Array"]
"""A function that reads a whole donor tensor into a new array."""


class FactorCache:
    """Stores what the tiles of one tensor share; any thread may use it, and each value is made once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value stored under `key`; if there is none, the result of `make`, which may use the cache itself."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def load_factors(product: LowRank, load: LoadTensor, backend: Backend) -> Factors:
    """Both factors of a product as arrays [blocks, rows, rank] and [blocks, rank, width], the rank padded with zeros.

    DonorError if a tensor is smaller than the product says.
    """
    blocks, rows, rank, width = product.shape
    padded = -(-rank // RANK_STEP) * RANK_STEP
    left, right = product.strides
    return (
        _gather(load(product.left.tensor), left, (blocks, rows, rank), (blocks, rows, padded), backend),
        _gather(load(product.right.tensor), right, (blocks, rank, width), (blocks, padded, width), backend),
    )


def _gather(
    array: Array, strides: Strides, shape: tuple[int, int, int], padded: tuple[int, int, int], backend: Backend
) -> Array:
    steps = strides.block, strides.row, strides.column
    last = strides.start + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if min(*shape, *(step + 1 for step in steps), strides.start + 1) < 1 or last >= len(array):
        raise _make_misfit()
    return backend.gather(array, strides.start, steps, shape, padded)


def add_product(product: LowRank, start: int, tile: Array, factors: Factors, backend: Backend) -> Array:
    """Add a low-rank product to a tile of a matrix (or of a row of matrices), which begins at element `start`."""
    blocks, rows, _, width = product.shape
    size, end = rows * width, start + len(tile)
    if end > blocks * size:
        raise _make_misfit()
    left, right = factors
    for block in range(start // size, -(-end // size)):
        low, high = max(start, block * size), min(end, (block + 1) * size)
        part = tile[low - start : high - start]
        backend.add_product(part, left[block], right[block], product.factor, low - block * size)
    return tile


def divide_lengths(lengths: Any, squares: Any) -> Any:
    """The factors that give rows or columns these lengths; `squares` [1, n] are the sums of their elements' squares."""
    import numpy as np

    if len(lengths) < squares.shape[1]:
        raise _make_misfit()
    with np.errstate(divide="ignore", invalid="ignore"):
        return lengths[: squares.shape[1]] / np.sqrt(squares)


def _make_misfit() -> DonorError:
    return DonorError.of("the factors of a low-rank product do not fit the tensor that it is added to")
