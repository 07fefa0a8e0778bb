"""Implements the array operations on the CPU, with numpy arrays, functions compiled by numba, and ml_dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stacker.arithmetic import agreement, masks, narrow, products, sums
from stacker.arithmetic.backend import EPSILON
from stacker.tensors import Dtype

Array = np.ndarray[Any, np.dtype[Any]]
_SOFTMAX = 1 << 14
"""How many elements `row_divergences` converts to fp64 at a time, if a row is not longer."""


class NumpyBackend:
    """Implements `Backend` on the CPU."""

    def array(self, memory: Any, dtype: Dtype) -> Array:
        return np.frombuffer(memory, np.dtype(dtype.torch_name))

    def convert(self, target: Array, source: Array) -> Array:
        if target.dtype in narrow.FORMS and source.dtype == np.float64:
            wide, source = source, np.empty(len(source), np.float32)
            narrow.round_to_odd(wide, source)
        if target.dtype in narrow.FORMS and source.dtype == np.float32:
            narrow.narrow(source.view(np.uint32), narrow.FORMS[target.dtype], _view_bits(target))
        elif source.dtype in narrow.VALUES:
            narrow.look_up(_view_bits(source), narrow.VALUES[source.dtype], target)
        elif source.dtype == np.float16:
            narrow.widen_half(_view_bits(source), target)
        else:
            with np.errstate(all="ignore"):
                np.copyto(target, source, casting="unsafe")
        return target

    def fill(self, array: Array, value: float) -> Array:
        array.fill(_scalar(array, value))
        return array

    def to_numpy(self, total: Array) -> Array:
        return total

    def combine(self, factors: Sequence[float], arrays: Sequence[Array], base: Array | None = None) -> Array:
        out = arrays[0]
        used = [number for number, factor in enumerate(factors) if factor]
        if not used:
            if base is None:
                out.fill(0)
            else:
                np.copyto(out, base)
            return out
        own = _as_type_of(out, [factors[number] for number in used])
        parts = tuple(arrays[number] for number in used)
        if base is None:
            sums.combine(own, parts, out)
        else:
            sums.combine_on(own, parts, base, out)
        return out

    def subtract(self, arrays: Sequence[Array], base: Array) -> Sequence[Array]:
        for array in arrays:
            sums.subtract(array, base)
        return arrays

    def add(self, array: Array, other: Array, factor: float = 1.0) -> Array:
        sums.add(array, other, _scalar(array, factor))
        return array

    def clamp(self, array: Array, most: float) -> Array:
        most = _scalar(array, most)
        return np.clip(array, -most, most, out=array)

    def inner_products(self, arrays: Sequence[Array]) -> list[float]:
        return [sums.inner_product(one, other) for number, one in enumerate(arrays) for other in arrays[number:]]

    def row_inner_products(self, arrays: Sequence[Array], row: int) -> Array:
        found = np.empty((_count_pairs(arrays), len(arrays[0]) // row))
        sums.row_inner_products(tuple(arrays), row, found)
        return found

    def column_inner_products(self, arrays: Sequence[Array], row: int, total: Array | None) -> Array:
        found = np.zeros((_count_pairs(arrays), row)) if total is None else total
        sums.column_inner_products(tuple(arrays), row, found)
        return found

    def combine_rows(self, factors: Array, arrays: Sequence[Array], row: int) -> Array:
        sums.combine_rows(_as_type_of(arrays[0], factors), tuple(arrays), row, arrays[0])
        return arrays[0]

    def combine_columns(self, factors: Array, arrays: Sequence[Array], row: int) -> Array:
        sums.combine_columns(_as_type_of(arrays[0], factors), tuple(arrays), row, arrays[0])
        return arrays[0]

    def gather(
        self,
        array: Array,
        start: int,
        steps: tuple[int, int, int],
        shape: tuple[int, int, int],
        padded: tuple[int, int, int],
    ) -> Array:
        made = np.zeros(padded, array.dtype)
        strides = [step * array.itemsize for step in steps]
        made[: shape[0], : shape[1], : shape[2]] = np.lib.stride_tricks.as_strided(array[start:], shape, strides)
        return made

    def add_product(self, array: Array, left: Array, right: Array, factor: float, start: int) -> Array:
        products.add_product(left, right, _scalar(array, factor), start, array)
        return array

    def zero_counters(self, *shape: int) -> Array:
        return np.zeros(shape, np.int64)

    def count_upper(self, key: Array, counters: Array) -> None:
        masks.count_upper(key, counters)

    def count_lower(self, key: Array, upper: int, counters: Array) -> None:
        masks.count_lower(key, upper, counters)

    def count_equal(self, key: Array, bits: int) -> int:
        return masks.count_equal(key, np.int32(bits))

    def mask_above(self, key: Array, bits: int, taken: int, equal: int) -> Array:
        mask = np.empty(len(key), np.bool_)
        if 0 < taken < equal:
            masks.mask_above_or_first(key, np.int32(bits), taken, mask)
        else:
            masks.mask_above(key, np.int32(bits - (taken > 0)), mask)
        return mask

    def empty_mask(self, array: Array) -> Array:
        return np.zeros(len(array), np.bool_)

    def mask_at_least(self, array: Array, bound: float) -> Array:
        return np.greater_equal(array, _as_type_of(array, bound))

    def subtract_mask(self, mask: Array, other: Array) -> Array:
        return np.greater(mask, other, out=mask)

    def apply_mask(self, array: Array, mask: Array) -> Array:
        masks.apply_mask(array, mask)
        return array

    def pack_mask(self, mask: Array) -> Array:
        return np.packbits(mask)

    def unpack_mask(self, packed: Array, count: int) -> Array:
        return np.unpackbits(packed, count=count).view(np.bool_)

    def sum_magnitudes(self, array: Array, mask: Array) -> tuple[float, float]:
        return masks.sum_magnitudes(array, mask)

    def hash_indices(self, count: int, spans: Sequence[tuple[int, int, int, int]]) -> Array:
        drawn = np.empty(count, np.int32)
        start = 0
        for size, first, before, after in spans:
            masks.hash_indices(first, np.uint32(before), np.uint32(after), drawn[start : start + size])
            start += size
        return drawn

    def mask_below(self, numbers: Array, bound: int | Array) -> Array:
        mask = np.empty(len(numbers), np.bool_)
        if isinstance(bound, int):
            masks.mask_below(numbers, np.int32(bound), mask)
        else:
            masks.mask_below_each(numbers, bound, mask)
        return mask

    def look_up_by_rank(self, array: Array, row: int, values: Array) -> Array:
        """Return for each element the entry of `values` at the element's rank by magnitude in its row.

        Instead of an argsort, int64 numbers that combine magnitude and index are sorted, which is three times as fast.
        """
        packed, found = np.empty(len(array), np.int64), np.empty(len(array), np.int32)
        masks.pack_ranks(array, row, packed)
        packed.reshape(-1, row).sort(axis=1)
        masks.unpack_ranks(packed, row, values, found)
        return found

    def merge_elected(
        self,
        arrays: Sequence[Array],
        votes: Sequence[float],
        factors: Sequence[float],
        weights: Sequence[float] | None,
    ) -> Array:
        out = arrays[0]
        agreement.merge_elected(
            tuple(arrays), _as_type_of(out, votes), _as_type_of(out, factors), _as_type_of(out, weights or ()), out
        )
        return out

    def variance(self, arrays: Sequence[Array]) -> Array:
        found = np.empty_like(arrays[0])
        agreement.variance(tuple(arrays), found)
        return found

    def count_changes(self, arrays: Sequence[Array], least: float) -> list[float]:
        shared, alone = np.zeros(len(arrays)), np.zeros(len(arrays))
        agreement.count_changes(tuple(arrays), _scalar(arrays[0], least), shared, alone)
        return [*shared.tolist(), *alone.tolist()]

    def merge_changes(self, arrays: Sequence[Array], least: float, alone: Sequence[float]) -> Array:
        out = arrays[0]
        agreement.merge_changes(tuple(arrays), _scalar(out, least), _as_type_of(out, alone), out)
        return out

    def row_divergences(self, array: Array, other: Array, row: int) -> Array:
        step = max(_SOFTMAX // row, 1) * row
        parts = (
            _row_divergences(array[start : start + step].reshape(-1, row), other[start : start + step].reshape(-1, row))
            for start in range(0, len(array), step)
        )
        return np.concatenate(list(parts))


NUMPY = NumpyBackend()


def _as_type_of(array: Array, factors: Any) -> Array:
    """Convert `factors` to an array with the dtype of `array`; a factor too large for the dtype becomes infinite."""
    with np.errstate(over="ignore"):
        own: Array = np.asarray(factors, array.dtype)
    return own


def _scalar(array: Array, value: float) -> Any:
    return _as_type_of(array, value)[()]


def _view_bits(array: Array) -> Array:
    return array.view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)


def _count_pairs(arrays: Sequence[Array]) -> int:
    return len(arrays) * (len(arrays) + 1) // 2


def _row_divergences(rows: Array, origin: Array) -> Array:
    """Compute for each row the KL divergence of its softmax from the softmax of the row of `origin` at the same index.

    A divergence that is negative because of rounding becomes 0.
    """
    with np.errstate(all="ignore"):
        p, q = _softmax(rows), _softmax(origin)
        total: Array = (p * np.log(p / q)).sum(axis=1)
        return total.clip(0.0)


def _softmax(rows: Array) -> Array:
    wide = rows.astype(np.float64)
    powers: Array = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True) + EPSILON
    return shares
