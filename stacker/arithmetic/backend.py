"""The array operations that ops are written in; each kind of device has a backend that implements them.

Arrays are flat, fp32 or fp64: numpy's on the processor, torch's on a device. Where a method says so it writes into its
first array and may overwrite the others, but never a base; otherwise it returns a new one. Factors and bounds too large
for the arrays' type become infinite. The order of operations is fixed, so threads and tiles do not change a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stacker.tensors import Dtype

if TYPE_CHECKING:
    import numpy as np

Array = Any
"""A flat array on a device: float32 or float64, int64 for counts, int32 for random numbers."""
Mask = Any
"""Marks some elements of an array; its type is the backend's own."""

INT31_MAX = (1 << 31) - 1
"""The greatest random number, and the bit mask of an fp32 magnitude."""
HASH_FACTORS = 0x7FEB352D, 0x846CA68B
"""The multipliers of the hash `lowbias32` (Wellons, Hash prospector, 2018), here over 31 bits."""
EPSILON = 1e-8
"""Added to probabilities so that none is 0."""
UPPER_BINS, LOWER_BINS = 1 << 16, 1 << 15
"""The number of values of the upper 16 and of the lower 15 bits of an fp32 magnitude."""


class Backend(Protocol):
    """Operations on tiles, for one kind of device."""

    def array(self, memory: Any, dtype: Dtype) -> Array:
        """A view of the device's memory as an array of `dtype`."""
        ...

    def convert(self, target: Array, source: Array) -> Array:
        """Copy values into an array of another type, rounded once to nearest even; one of the two is fp32 or fp64.

        fp8_e4m3 has no infinity: larger values become its largest number.
        """
        ...

    def fill(self, array: Array, value: float) -> Array:
        """Set every element to `value`."""
        ...

    def to_numpy(self, total: Array) -> np.ndarray[Any, Any]:
        """Counts or sums as a numpy array."""
        ...

    # Sums: see `stacker.arithmetic.sums`.

    def combine(self, factors: Sequence[float], arrays: Sequence[Array], base: Array | None = None) -> Array:
        """Σ fᵢxᵢ, or with a base b + Σ fᵢ(xᵢ − b), written into the first array.

        Arrays with a factor of 0 are skipped, along with their NaN and infinities.
        """
        ...

    def subtract(self, arrays: Sequence[Array], base: Array) -> Sequence[Array]:
        """xᵢ − b, written into each array."""
        ...

    def add(self, array: Array, other: Array, factor: float = 1.0) -> Array:
        """x + fy, written into x."""
        ...

    def clamp(self, array: Array, most: float) -> Array:
        """The elements clamped to [−most, most], written into the array; NaN stays."""
        ...

    def inner_products(self, arrays: Sequence[Array]) -> list[float]:
        """⟨xᵢ, xⱼ⟩ for i ≤ j, in fp64."""
        ...

    def row_inner_products(self, arrays: Sequence[Array], row: int) -> np.ndarray[Any, Any]:
        """[pairs, rows]: ⟨xᵢ, xⱼ⟩ for i ≤ j within each row of `row` elements, in fp64."""
        ...

    def column_inner_products(self, arrays: Sequence[Array], row: int, total: Array | None) -> Array:
        """[pairs, row]: ⟨xᵢ, xⱼ⟩ for i ≤ j within each column, in fp64, added to `total` if given."""
        ...

    def combine_rows(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[r]xᵢ, where r is the element's row and `factors` is [arrays, rows]; written into the first array."""
        ...

    def combine_columns(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[c]xᵢ, where c is the element's column and `factors` is [arrays, row]; written into the first array."""
        ...

    # Ranks, by the magnitude of an element rounded to fp32; NaN is greater than infinity.

    def zero_counters(self, *shape: int) -> Array:
        """An int64 array of zeros."""
        ...

    def count_upper(self, key: Array, counters: Array) -> None:
        """Count elements by the upper bits of their magnitude; the last counter gets those that are not 0.

        `counters` is [UPPER_BINS + 1], and is added to.
        """
        ...

    def count_lower(self, key: Array, upper: int, counters: Array) -> None:
        """Count elements with these upper bits by the lower bits of their magnitude, into `counters` [LOWER_BINS]."""
        ...

    def count_equal(self, key: Array, bits: int) -> int:
        """The number of elements whose magnitude has exactly these bits."""
        ...

    def mask_above(self, key: Array, bits: int, taken: int, equal: int) -> Mask:
        """The elements with greater magnitude bits (-1: all), and the first `taken` of the `equal` with these bits."""
        ...

    # Masks.

    def empty_mask(self, array: Array) -> Mask:
        """A mask of no element."""
        ...

    def mask_at_least(self, array: Array, bound: float) -> Mask:
        """The elements that are at least `bound`; NaN is not."""
        ...

    def subtract_mask(self, mask: Mask, other: Mask) -> Mask:
        """The elements of `mask` that are not in `other`, written into `mask`."""
        ...

    def apply_mask(self, array: Array, mask: Mask) -> Array:
        """Set the elements outside the mask to 0, NaN and infinities included."""
        ...

    def pack_mask(self, mask: Mask) -> Array:
        """The mask in a compact form."""
        ...

    def unpack_mask(self, packed: Array, count: int) -> Mask:
        """The mask of `count` elements from its compact form."""
        ...

    def sum_magnitudes(self, array: Array, mask: Mask) -> tuple[float, float]:
        """Σ|x| over all elements, and over those in the mask, in fp64."""
        ...

    # Random numbers.

    def hash_indices(self, count: int, spans: Sequence[tuple[int, int, int, int]]) -> Array:
        """`count` int32 from 0 to INT31_MAX, hashed from indices.

        Each of `spans` is the number of its elements, the index of the first, and two keys, which are XORed with the
        indices before hashing and with the results after it.
        """
        ...

    def mask_below(self, numbers: Array, bound: int | Array) -> Mask:
        """The elements of `numbers` that are below the bound; an array holds a bound for each element."""
        ...

    def look_up_by_rank(self, array: Array, row: int, values: np.ndarray[Any, Any]) -> Array:
        """For each element, the entry of `values` (int32 [row]) at its rank by magnitude within its row.

        Rank 0 is the smallest; of equal elements the later one ranks higher.
        """
        ...

    # Comparisons between arrays.

    def merge_elected(
        self,
        arrays: Sequence[Array],
        votes: Sequence[float],
        factors: Sequence[float],
        weights: Sequence[float] | None,
    ) -> Array:
        """Σ fᵢvᵢxᵢ over the vᵢxᵢ whose sign is that of Σ vᵢxᵢ, divided by their weights if any; into the first array.

        A sum of 0 counts as positive; elements without an agreeing array are 0. See Yadav et al., TIES-Merging
        (NeurIPS 2023), section 3, steps 2 and 3.
        """
        ...

    def variance(self, arrays: Sequence[Array]) -> Array:
        """The population variance of each element across the arrays, in a new array."""
        ...

    def count_changes(self, arrays: Sequence[Array], least: float) -> list[float]:
        """For each array, its elements with |x| > least that another array also has; then those it alone has."""
        ...

    def merge_changes(self, arrays: Sequence[Array], least: float, alone: Sequence[float]) -> Array:
        """Over arrays with |x| > least: their mean where there are several, aloneᵢ · xᵢ where there is one, else 0.

        Written into the first array.
        """
        ...

    def row_divergences(self, array: Array, other: Array, row: int) -> np.ndarray[Any, Any]:
        """[rows]: KL divergence of the softmax of each row of `array` from that of `other`, in fp64."""
        ...
