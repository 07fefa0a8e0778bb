"""Masks, ranks by magnitude and hashed indices on both backends, against numpy and Python's own integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stacker.arithmetic.backend import HASH_FACTORS, INT31_MAX, LOWER_BINS, UPPER_BINS, Backend
from stacker.arithmetic.masks import bits_of, hash_indices
from stacker.arithmetic.numpy_backend import NUMPY
from tests.arithmetic.arrays import KINDS, ODD, SIZES, Numbers, got, numbers, odd, put
from tests.ops.blending import TORCH

EVERY = pytest.mark.parametrize("kind", KINDS)
EACH_SIZE = pytest.mark.parametrize("size", SIZES)


def _bits(values: Numbers) -> Numbers:
    """The bits of fp32 magnitudes as integers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32).view(np.int32) & np.int32(INT31_MAX)


def test_magnitudes_in_order() -> None:
    """Signs are ignored; zeros come first, then subnormal numbers, and NaN after infinity."""
    order = [-0.0, 0.0, 1e-45, -1e-39, 1.0, -1.5, 3e38, -np.inf, np.nan, -np.nan]
    found = [int(bits_of(np.float32(value))) for value in order]
    assert found == sorted(found)
    assert [found[0] == found[1], found[-2] == found[-1], found[-3] == 0x7F800000] == [True] * 3


@EVERY
@EACH_SIZE
def test_counts_by_upper_bits(backend: Backend, size: int, kind: Any) -> None:
    """The last counter is the number of nonzero elements; a second tile adds to the counters."""
    values = odd(size, kind)
    counters = backend.zero_counters(UPPER_BINS + 1)
    for _ in range(2):
        backend.count_upper(put(backend, values), counters)
    bits = _bits(values)
    assert np.array_equal(backend.to_numpy(counters)[:-1], 2 * np.bincount(bits >> 15, minlength=UPPER_BINS))
    assert backend.to_numpy(counters)[-1] == 2 * np.count_nonzero(bits)


@EVERY
@pytest.mark.parametrize("value", [0.0, 1e-45, 1.0, 0.7, np.inf, np.nan], ids=str)
def test_counts_by_lower_bits(backend: Backend, value: float, kind: Any) -> None:
    """Only elements with the given upper bits are counted."""
    values = odd(5000, kind)
    upper = int(bits_of(np.float32(value))) >> 15
    counters = backend.zero_counters(2, LOWER_BINS)
    for _ in range(2):
        backend.count_lower(put(backend, values), upper, counters[1])
    bits = _bits(values)
    expected = np.bincount(bits[bits >> 15 == upper] & (LOWER_BINS - 1), minlength=LOWER_BINS)
    assert np.array_equal(backend.to_numpy(counters), [0 * expected, 2 * expected])


@EVERY
@EACH_SIZE
def test_counts_of_equal_magnitude(backend: Backend, size: int, kind: Any) -> None:
    """Elements with these magnitude bits are counted whatever their sign."""
    values = odd(size, kind)
    bits = _bits(values)
    for sought in [0, 1, INT31_MAX, *np.unique(bits)[:20].tolist()]:
        assert backend.count_equal(put(backend, values), sought) == np.count_nonzero(bits == sought)


@EVERY
@pytest.mark.parametrize("size", [1, 65, 5000])
def test_the_largest_are_those_of_a_sort(backend: Backend, size: int, kind: Any) -> None:
    """The mask has as many elements as asked for; of equal ones the first."""
    values = odd(size, kind)
    bits = _bits(values)
    order = np.argsort(-bits.astype(np.int64), kind="stable")
    for count in sorted({1, -(-size // 3), -(-size // 2), size}):
        last = int(bits[order[count - 1]])
        equal = int(np.count_nonzero(bits == last))
        taken = count - int(np.count_nonzero(bits > last))
        expected = np.zeros(size, np.bool_)
        expected[order[:count]] = True
        assert np.array_equal(got(backend.mask_above(put(backend, values), last, taken, equal)), expected)


@EVERY
@pytest.mark.parametrize("bits", [-1, 0, 1, 0x3F800000, 0x7F800000, INT31_MAX], ids=hex)
def test_larger_at_its_ends(backend: Backend, bits: int, kind: Any) -> None:
    """Bits of -1 mark all elements; equal elements are marked all, none, or the first of them."""
    values = odd(1025, kind)
    found = _bits(values)
    equal = int(np.count_nonzero(found == bits))
    assert np.array_equal(got(backend.mask_above(put(backend, values), bits, 0, equal)), found > bits)
    assert np.array_equal(got(backend.mask_above(put(backend, values), bits, 0, 0)), found > bits)
    if equal:
        assert np.array_equal(got(backend.mask_above(put(backend, values), bits, equal, equal)), found >= bits)


@EVERY
def test_nothing_is_chosen(backend: Backend, kind: Any) -> None:
    """An empty mask marks nothing, and subtracting it changes nothing."""
    key = put(backend, odd(65, kind))
    assert not got(backend.empty_mask(key)).any()
    every = backend.mask_above(key, -1, 0, 0)
    assert got(backend.subtract_mask(every, backend.empty_mask(key))).all()


@EVERY
def test_at_least(backend: Backend, kind: Any) -> None:
    """The bound, rounded to the array's type, is included; NaN is not."""
    values = np.concatenate([odd(1025, kind), np.array([0.1, -0.1, 0.3], kind)])
    for bound in (0.1, 0.0, -np.inf, np.inf, -0.3, 1e300):
        expected = [float(value) >= bound for value in values.tolist()]
        if bound in (0.1, -0.3):
            expected = (values >= kind(bound)).tolist()
        assert got(backend.mask_at_least(put(backend, values), bound)).tolist() == expected


@EVERY
def test_without_is_a_difference(backend: Backend, kind: Any) -> None:
    """All four combinations of two masks give the right difference."""
    x, y = numbers(1025, kind), numbers(1025, kind, 1)
    masks = [backend.mask_at_least(put(backend, values), 0.0) for values in (x, y)]
    assert np.array_equal(got(backend.subtract_mask(*masks)), (x >= 0) & ~(y >= 0))


@EVERY
@EACH_SIZE
def test_keep_drops_even_nan(backend: Backend, size: int, kind: Any) -> None:
    """Elements outside the mask become +0, those inside keep their bits."""
    values, chooser = odd(size, kind), numbers(size, kind, 5)
    held = put(backend, values)
    kept = backend.apply_mask(held, backend.mask_at_least(put(backend, chooser), 0.0))
    assert kept is held
    assert np.array_equal(got(kept).view(np.uint8), np.where(chooser >= 0, values, kind(0)).view(np.uint8))


@EVERY
@EACH_SIZE
def test_sums_of_magnitudes(backend: Backend, size: int, kind: Any) -> None:
    """Magnitudes of all elements and of the mask are summed in fp64, and the array is not changed."""
    values = numbers(size, kind)
    held = put(backend, values)
    found = backend.sum_magnitudes(held, backend.mask_at_least(put(backend, values), 0.5))
    sizes = abs(values.astype(np.float64))
    assert found == pytest.approx((sizes.sum(), sizes[values >= 0.5].sum()), rel=1e-12)
    assert np.array_equal(got(held), values)


@EVERY
def test_nan_that_is_not_chosen_stays_out(backend: Backend, kind: Any) -> None:
    """Of the sum over the chosen, not of the sum over all."""
    values = np.array([np.nan, 2.0, -np.inf, 1.0], kind)
    every, chosen = backend.sum_magnitudes(put(backend, values), backend.mask_at_least(put(backend, values), 0.5))
    assert np.isnan(every)
    assert chosen == 3.0


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (7, 64), (3, 1025), (1, 5000), (500, 1)], ids=str)
def test_values_by_rank(backend: Backend, shape: tuple[int, int], kind: Any) -> None:
    """Each row is ranked alone, as by a stable sort of its magnitudes."""
    values = odd(shape[0] * shape[1], kind)
    given = np.random.default_rng(3).integers(0, INT31_MAX, shape[1], dtype=np.int32)
    found = backend.look_up_by_rank(put(backend, values), shape[1], given)
    expected = np.empty(shape, np.int32)
    for row, bits in zip(expected, _bits(values).reshape(shape), strict=True):
        row[np.argsort(bits, kind="stable")] = given
    assert np.array_equal(np.asarray(found), expected.ravel())


def test_both_say_the_same_of_the_same_nan() -> None:
    """NaN ranks highest, ordered by its bits, equally on both backends."""
    values = np.array([*ODD, 2.0], np.float32)
    values = np.concatenate([values, np.arange(0x7F800001, 0x7F800011, dtype=np.uint32).view(np.float32)])
    ranks = np.arange(len(values), dtype=np.int32)
    one, other = (backend.look_up_by_rank(put(backend, values), len(values), ranks) for backend in (NUMPY, TORCH))
    assert one.tolist() == other.tolist()


@EACH_SIZE
def test_packed_masks_come_back(backend: Backend, size: int) -> None:
    """A mask of any length takes at most a byte for each element when packed."""
    values = numbers(size, np.float32)
    packed = backend.pack_mask(backend.mask_at_least(put(backend, values), 0.0))
    assert packed.nbytes <= size
    kept = backend.apply_mask(put(backend, values), backend.unpack_mask(packed, size))
    assert np.array_equal(got(kept), np.where(values >= 0, values, 0))


BLOCKS = {
    "one": [(1000, 0, 0x1234567, 0x7654321)],
    "from the middle": [(37, 65_499, INT31_MAX, 0), (65_536, 0, 0, INT31_MAX), (1, 0, 5, 6)],
    "single elements": [(1, 65_535, 1, 2), (1, 0, 3, 4), (1, 1, 0, 0)],
    "none": [],
}


def _mixed(index: int, before: int, after: int) -> int:
    """The hash in Python integers: XOR with a shift and multiply, in 31 bits."""
    bits = index ^ before
    for by, factor in zip((16, 15), HASH_FACTORS, strict=True):
        bits = ((bits ^ bits >> by) * factor) & INT31_MAX
    return bits ^ bits >> 16 ^ after


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_each_index_by_its_block(backend: Backend, blocks: list[tuple[int, int, int, int]]) -> None:
    """Each span in turn yields one number for each of its elements."""
    expected = [
        _mixed(index, before, after)
        for size, first, before, after in blocks
        for index in range(first, first + size)
    ]  # fmt: skip
    drawn = np.asarray(backend.hash_indices(len(expected), blocks))
    assert drawn.dtype == np.int32
    assert drawn.tolist() == expected


def test_mixing_can_be_undone() -> None:
    """Distinct indices hash to distinct numbers, spread evenly over the range."""
    drawn = np.empty(1 << 20, np.int32)
    hash_indices(0, np.uint32(0x2345), np.uint32(0x6789), drawn)
    assert len(np.unique(drawn)) == len(drawn)
    counts = np.bincount(drawn >> 27, minlength=16)
    assert (abs(counts - len(drawn) / 16) < 6 * (len(drawn) / 16) ** 0.5).all()
    assert drawn.min() >= 0


@pytest.mark.parametrize("bound", [0, 1, 1 << 30, INT31_MAX])
def test_below_one_bound(backend: Backend, bound: int) -> None:
    """The comparison is strict, also at both ends of the range."""
    drawn = backend.hash_indices(5000, [(5000, 0, 9, 8)])
    known = np.asarray(drawn).copy()
    assert np.array_equal(got(backend.mask_below(drawn, bound)), known < bound)


@pytest.mark.parametrize("size", [1, 63, 1025])
def test_below_bounds_of_their_own(backend: Backend, size: int) -> None:
    """Each number is compared with its own bound, strictly."""
    drawn, bounds = backend.hash_indices(size, [(size, 0, 9, 8)]), backend.hash_indices(size, [(size, 0, 8, 9)])
    known = [np.asarray(each).copy() for each in (drawn, bounds)]
    assert np.array_equal(got(backend.mask_below(drawn, bounds)), known[0] < known[1])
    assert not got(backend.mask_below(drawn, drawn)).any()
