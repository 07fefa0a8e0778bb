"""What is specific to the numpy backend: shared memory, masks of bool."""

from __future__ import annotations

import numpy as np
import pytest

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.tensors import DTYPES, Dtype
from tests.arithmetic.arrays import numbers


@pytest.mark.parametrize(
    "dtype", [dtype for dtype in DTYPES.values() if dtype.arithmetic], ids=lambda dtype: dtype.label
)
def test_an_array_is_the_memory(dtype: Dtype) -> None:
    """The array is a view: a write to one is seen in the other."""
    memory = bytearray(64)
    array = NUMPY.array(memoryview(memory), dtype)
    assert array.shape == (512 // dtype.bits,)
    NUMPY.convert(array, np.ones(len(array), np.float32))
    assert bytes(memory) == array.tobytes() != bytes(64)


def test_masks_are_bool() -> None:
    """Masks take a byte for each element, as memory planning assumes."""
    key = numbers(65, np.float32)
    drawn = NUMPY.hash_indices(65, [(65, 0, 1, 2)])
    masks = [NUMPY.mask_above(key, 5, 0, 0), NUMPY.empty_mask(key), NUMPY.mask_at_least(key, 0.5)]
    masks += [NUMPY.mask_below(drawn, 7), NUMPY.subtract_mask(masks[0].copy(), masks[2])]
    assert {mask.dtype for mask in masks} == {np.dtype(np.bool_)}


def test_counts_are_not_copied() -> None:
    """Arrays are on the host and are returned as they are."""
    counters = NUMPY.zero_counters(3, 5)
    assert NUMPY.to_numpy(counters) is counters
    assert (counters.shape, counters.dtype) == ((3, 5), np.dtype(np.int64))
    assert not counters.any()
