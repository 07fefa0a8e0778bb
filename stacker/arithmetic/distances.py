"""Compiled sums over pairs of arrays, from which distance and angle of two tensors follow.

All sums are in fp64, as LANES partial sums that are then added in a fixed order, so all CPUs compute identical bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stacker.arithmetic.jit import compiled
from stacker.arithmetic.sums import LANES

DIFFERENCE, ONE, OTHER, PRODUCT = range(4)
"""The order of the sums in what `add_distances` writes: Σ(y−x)², Σx², Σy² and Σxy."""


@compiled
def add_distances(one: Any, other: Any, totals: Any) -> int:
    """Add the four sums over the elements x of `one` and y of `other` to `totals`; returns how many elements differ.

    Equal elements add nothing to Σ(y−x)², also if both are infinite or both are NaN.
    """
    lanes = np.zeros((4, LANES))
    differing = 0
    for start in range(0, one.size, LANES):
        count = min(LANES, one.size - start)
        left, right = one[start : start + count], other[start : start + count]
        for k in range(count):
            x, y = np.float64(left[k]), np.float64(right[k])
            same = x == y or (x != x and y != y)
            change = 0.0 if same else y - x
            differing += 0 if same else 1
            lanes[0, k] += change * change
            lanes[1, k] += x * x
            lanes[2, k] += y * y
            lanes[3, k] += x * y
    for number in range(4):
        half = LANES // 2
        while half:
            for k in range(half):
                lanes[number, k] += lanes[number, k + half]
            half //= 2
        totals[number] += lanes[number, 0]
    return differing
