"""Indices mixed into random bits, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX
from stacker.arithmetic.jit import compiled


@compiled
def hash_indices(first: int, before: Any, after: Any, out: Any) -> None:
    """All steps can be undone, so no number is more likely than another."""
    for k in range(out.size):
        bits = np.uint32(first + k) ^ before
        bits = ((bits ^ (bits >> np.uint32(16))) * np.uint32(HASH_FACTORS[0])) & np.uint32(INT31_MAX)
        bits = ((bits ^ (bits >> np.uint32(15))) * np.uint32(HASH_FACTORS[1])) & np.uint32(INT31_MAX)
        out[k] = np.int32(bits ^ (bits >> np.uint32(16)) ^ after)


@compiled
def mask_below(numbers: Any, bound: Any, mask: Any) -> None:
    """Which are less than the bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bound


@compiled
def mask_below_each(numbers: Any, bounds: Any, mask: Any) -> None:
    """Which are less than their own bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bounds[k]
