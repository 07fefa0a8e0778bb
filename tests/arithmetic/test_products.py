"""Products of thin matrices on both backends, against the formula in fp64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.backend import Backend
from stacker.arithmetic.numpy_backend import NUMPY
from tests.arithmetic.arrays import KINDS, Numbers, check_close, got, numbers, put

SHAPES = [(1, 4, 1), (3, 4, 5), (4, 8, 512), (9, 16, 513), (17, 64, 700), (6, 4, 1500)]


def _factors(shape: tuple[int, int, int], kind: Any) -> tuple[Numbers, Numbers]:
    rows, rank, width = shape
    return numbers(rows * rank, kind, 1).reshape(rows, rank), numbers(rank * width, kind, 2).reshape(rank, width)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_added(backend: Backend, shape: tuple[int, int, int], kind: Any) -> None:
    """A matrix plus a factor times the product of two thin ones."""
    left, right = _factors(shape, kind)
    matrix = numbers(shape[0] * shape[2], kind, 3)
    held = put(backend, matrix)
    made = backend.add_product(held, put(backend, left), put(backend, right), 0.75, 0)
    assert made is held
    wide = left.astype(np.float64) @ right.astype(np.float64)
    check_close(made, matrix + 0.75 * wide.ravel(), kind, 4.0 * shape[1])


@pytest.mark.parametrize("step", [1, 7, 512, 700, 1401, 5000])
def test_any_part_is_the_same_bits(step: int) -> None:
    """The bits of an element do not depend on the part of the matrix that is computed at once."""
    left, right = _factors((17, 64, 700), np.float32)
    whole, parts = np.zeros(17 * 700, np.float32), np.zeros(17 * 700, np.float32)
    NUMPY.add_product(whole, left, right, 1.5, 0)
    for start in range(0, len(parts), step):
        NUMPY.add_product(parts[start : start + step], left, right, 1.5, start)
    assert np.array_equal(whole.view(np.uint32), parts.view(np.uint32))


def test_strided_elements_are_gathered(backend: Backend) -> None:
    """Elements at regular distances become an array, with zeros where it is larger."""
    array = np.arange(60, dtype=np.float32)
    made = got(backend.gather(put(backend, array), 3, (1, 20, 4), (2, 2, 3), (2, 2, 4)))
    want = np.zeros((2, 2, 4), np.float32)
    for i in range(2):
        for j in range(2):
            for k in range(3):
                want[i, j, k] = 3 + i + 20 * j + 4 * k
    assert np.array_equal(made, want)
