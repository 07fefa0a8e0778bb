"""What is specific to the torch backend, tested on its CPU device: shared memory, int32 masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stacker.tensors import DTYPES, Dtype
from tests.arithmetic.arrays import numbers
from tests.ops.blending import TORCH


@pytest.mark.parametrize(
    "dtype", [dtype for dtype in DTYPES.values() if dtype.arithmetic], ids=lambda dtype: dtype.label
)
def test_an_array_is_the_memory(dtype: Dtype) -> None:
    """The array is a view: a write to one is seen in the other."""
    memory = torch.zeros(64, dtype=torch.uint8)
    array = TORCH.array(memory, dtype)
    assert array.shape == (512 // dtype.bits,)
    TORCH.convert(array, torch.ones(len(array)))
    assert array.data_ptr() == memory.data_ptr()
    assert memory.any()


def test_masks_are_whole_numbers() -> None:
    """Mask elements are int32, -1 or 0."""
    key = torch.from_numpy(numbers(65, np.float32))
    drawn = TORCH.hash_indices(65, [(65, 0, 1, 2)])
    masks = [TORCH.mask_above(key, 0x3F000000, 0, 0), TORCH.empty_mask(key), TORCH.mask_at_least(key, 0.5)]
    masks += [TORCH.mask_below(drawn, 1 << 30), TORCH.subtract_mask(masks[0].clone(), masks[2])]
    assert {mask.dtype for mask in masks} == {torch.int32}
    assert set(torch.cat(masks).tolist()) == {-1, 0}


def test_counts_come_to_the_host() -> None:
    """Counters are returned as numpy arrays."""
    counters = TORCH.zero_counters(3, 5)
    found = TORCH.to_numpy(counters)
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == ((3, 5), np.dtype(np.int64))
    assert not found.any()
