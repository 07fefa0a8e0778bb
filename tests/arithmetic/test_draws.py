"""Numbers mixed from indices, on both arithmetics, against the mixing written out in whole numbers of Python's."""

from __future__ import annotations

import numpy as np
import pytest

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX, Backend
from stacker.arithmetic.draws import hash_indices
from tests.arithmetic.arrays import got

BLOCKS = {
    "one": [(1000, 0, 0x1234567, 0x7654321)],
    "from the middle": [(37, 65_499, INT31_MAX, 0), (65_536, 0, 0, INT31_MAX), (1, 0, 5, 6)],
    "single elements": [(1, 65_535, 1, 2), (1, 0, 3, 4), (1, 1, 0, 0)],
    "none": [],
}


def _mixed(index: int, before: int, after: int) -> int:
    """Xor with a shift, multiply, three times over, in 31 bits."""
    bits = index ^ before
    for by, factor in zip((16, 15), HASH_FACTORS, strict=True):
        bits = ((bits ^ bits >> by) * factor) & INT31_MAX
    return bits ^ bits >> 16 ^ after


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_each_index_by_its_block(backend: Backend, blocks: list[tuple[int, int, int, int]]) -> None:
    """One number an element, block after block."""
    expected = [
        _mixed(index, before, after)
        for size, first, before, after in blocks
        for index in range(first, first + size)
    ]  # fmt: skip
    drawn = np.asarray(backend.hash_indices(len(expected), blocks))
    assert drawn.dtype == np.int32
    assert drawn.tolist() == expected


def test_mixing_can_be_undone() -> None:
    """A run of indices gives as many numbers, none twice, spread over all that there are."""
    drawn = np.empty(1 << 20, np.int32)
    hash_indices(0, np.uint32(0x2345), np.uint32(0x6789), drawn)
    assert len(np.unique(drawn)) == len(drawn)
    counts = np.bincount(drawn >> 27, minlength=16)
    assert (abs(counts - len(drawn) / 16) < 6 * (len(drawn) / 16) ** 0.5).all()
    assert drawn.min() >= 0


@pytest.mark.parametrize("bound", [0, 1, 1 << 30, INT31_MAX])
def test_below_one_bound(backend: Backend, bound: int) -> None:
    """Strictly, to the ends of what is drawn."""
    drawn = backend.hash_indices(5000, [(5000, 0, 9, 8)])
    known = np.asarray(drawn).copy()
    assert np.array_equal(got(backend.mask_below(drawn, bound)), known < bound)


@pytest.mark.parametrize("size", [1, 63, 1025])
def test_below_bounds_of_their_own(backend: Backend, size: int) -> None:
    """As `by_rank` gives them: equal ones are not below."""
    drawn, bounds = backend.hash_indices(size, [(size, 0, 9, 8)]), backend.hash_indices(size, [(size, 0, 8, 9)])
    known = [np.asarray(each).copy() for each in (drawn, bounds)]
    assert np.array_equal(got(backend.mask_below(drawn, bounds)), known[0] < known[1])
    assert not got(backend.mask_below(drawn, drawn)).any()
