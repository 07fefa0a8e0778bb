"""Indices mixed into random bits, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.interface import FACTORS, MOST
from stacker.arithmetic.jit import compiled


@compiled
def mix(first: int, before: Any, after: Any, out: Any) -> None:
    """All steps can be undone, so no number is more likely than another."""
    for k in range(out.size):
        bits = np.uint32(first + k) ^ before
        bits = ((bits ^ (bits >> np.uint32(16))) * np.uint32(FACTORS[0])) & np.uint32(MOST)
        bits = ((bits ^ (bits >> np.uint32(15))) * np.uint32(FACTORS[1])) & np.uint32(MOST)
        out[k] = np.int32(bits ^ (bits >> np.uint32(16)) ^ after)


@compiled
def below(numbers: Any, bound: Any, mask: Any) -> None:
    """Which are less than the bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bound


@compiled
def below_each(numbers: Any, bounds: Any, mask: Any) -> None:
    """Which are less than their own bound."""
    for k in range(numbers.size):
        mask[k] = numbers[k] < bounds[k]
