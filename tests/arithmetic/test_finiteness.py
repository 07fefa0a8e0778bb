"""Infinities and NaNs are recognised by their bits; torch says which bits they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stacker.arithmetic.finiteness import has_non_finite
from stacker.tensors import DTYPES, Dtype

EACH = [dtype for dtype in DTYPES.values() if dtype.arithmetic]
NARROW = [dtype for dtype in EACH if dtype.bits < 32]
WIDE = [dtype for dtype in EACH if dtype.bits >= 32]


def _list_patterns(dtype: Dtype) -> torch.Tensor:
    """All bit patterns of a narrow type, as numbers of that type."""
    bits = np.arange(1 << dtype.bits).astype(f"uint{dtype.bits}")
    return torch.from_numpy(bits).view(getattr(torch, dtype.torch_name))


def _bytes(numbers: torch.Tensor) -> memoryview:
    return memoryview(numbers.contiguous().view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.label)
def test_every_pattern_is_judged_as_by_torch(dtype: Dtype) -> None:
    """All finite patterns together have no infinity or NaN, and each other pattern alone is found."""
    patterns = _list_patterns(dtype)
    finite = torch.isfinite(patterns.double())
    assert not has_non_finite(_bytes(patterns[finite]), dtype)
    others = patterns[~finite]
    assert len(others)
    assert all(has_non_finite(_bytes(others[k : k + 1]), dtype) for k in range(len(others)))


@pytest.mark.parametrize("place", [0, 511, 998])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("dtype", WIDE, ids=lambda dtype: dtype.label)
def test_one_number_is_enough(dtype: Dtype, value: float, place: int) -> None:
    """One infinity or NaN among the largest and smallest numbers is found at any place."""
    kind = getattr(torch, dtype.torch_name)
    limits = torch.finfo(kind)
    numbers = torch.tensor([limits.max, limits.min, limits.tiny, 0.0, -0.0, 1.0] * 167, dtype=kind)[:999]
    assert not has_non_finite(_bytes(numbers), dtype)
    numbers[place] = value
    assert has_non_finite(_bytes(numbers), dtype)


def test_nothing_is_finite() -> None:
    """No elements at all contain no infinity."""
    assert not has_non_finite(memoryview(b""), Dtype.F32)
