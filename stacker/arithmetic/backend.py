"""The interface of the array operations with which ops compute; each kind of device has a class that implements it.

Arrays are flat and of type fp32 or fp64: numpy arrays on the processor, torch tensors on a GPU. Sums are taken in a
fixed order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stacker.tensors import Dtype

if TYPE_CHECKING:
    import numpy as np

Array = Any
"""A flat array of float32 or float64; of int64 for counts, and of int32 for random numbers."""
Mask = Any
"""Marks some elements of an array; each backend has its own type of mask."""

INT31_MAX = (1 << 31) - 1
"""The greatest random number, and the bit mask of an fp32 magnitude."""
HASH_FACTORS = 0x7FEB352D, 0x846CA68B
"""The multipliers of the hash `lowbias32` (Wellons, Hash prospector, 2018), here over 31 bits."""
EPSILON = 1e-8
"""Added to probabilities so that none is 0."""
UPPER_BINS, LOWER_BINS = 1 << 16, 1 << 15
"""How many values the upper 16 bits and the lower 15 bits of an fp32 magnitude can have."""


class Backend(Protocol):
    """Operations on the arrays of tiles, for one kind of device.

    A method that writes into its first array may overwrite its other arrays too, except a base; a method that does not
    say where it writes returns a new array. Factors and bounds too large for the type of the arrays become infinite.
    """

    def array(self, memory: Any, dtype: Dtype) -> Array:
        """The same memory viewed as an array of `dtype`, without a copy."""
        ...

    def convert(self, target: Array, source: Array) -> Array:
        """Copy `source` into `target`, rounding once to nearest even; at least one of them must be fp32 or fp64.

        fp8_e4m3 has no infinity, so values too large for it become its largest number.
        """
        ...

    def fill(self, array: Array, value: float) -> Array:
        """Set every element of the array to `value`, and return the array."""
        ...

    def to_numpy(self, total: Array) -> np.ndarray[Any, Any]:
        """An array of counts or sums as a numpy array."""
        ...

    # Sums: see `stacker.arithmetic.sums`.

    def combine(self, factors: Sequence[float], arrays: Sequence[Array], base: Array | None = None) -> Array:
        """Σ fᵢxᵢ, or with a base b + Σ fᵢ(xᵢ − b), written into the first array.

        An array with the factor 0 is not used, so that its NaN and infinities have no effect.
        """
        ...

    def subtract(self, arrays: Sequence[Array], base: Array) -> Sequence[Array]:
        """xᵢ − b, written into each array."""
        ...

    def add(self, array: Array, other: Array, factor: float = 1.0) -> Array:
        """x + fy, written into x."""
        ...

    def clamp(self, array: Array, most: float) -> Array:
        """The elements clamped to [−most, most], written into the array; NaN is not changed."""
        ...

    def inner_products(self, arrays: Sequence[Array]) -> list[float]:
        """The inner products ⟨xᵢ, xⱼ⟩ of all pairs i ≤ j, in fp64, in the order (0, 0), (0, 1), …, (1, 1), …"""
        ...

    def row_inner_products(self, arrays: Sequence[Array], row: int) -> np.ndarray[Any, Any]:
        """⟨xᵢ, xⱼ⟩ for all pairs i ≤ j within each row of `row` elements, in fp64, as an array [pairs, rows]."""
        ...

    def column_inner_products(self, arrays: Sequence[Array], row: int, total: Array | None) -> Array:
        """⟨xᵢ, xⱼ⟩ for all pairs i ≤ j within each column, in fp64, as an array [pairs, row].

        A row has `row` elements; the result is added to `total` if that is given.
        """
        ...

    def combine_rows(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[r]xᵢ, written into the first array; r is the number of the element's row.

        `factors` is [arrays, rows], and `row` is the length of a row.
        """
        ...

    def combine_columns(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[c]xᵢ, written into the first array; c is the element's index within its row.

        `factors` is [arrays, row], where `row` is the length of a row.
        """
        ...

    # Ranks. "Bits" are those of an element's magnitude rounded to fp32; NaN is greater than infinity.

    def zero_counters(self, *shape: int) -> Array:
        """An int64 array of zeros."""
        ...

    def count_upper(self, key: Array, counters: Array) -> None:
        """Count elements by the upper 16 bits of their magnitude, and add the counts to `counters` [UPPER_BINS + 1].

        The last counter counts all elements that are not 0.
        """
        ...

    def count_lower(self, key: Array, upper: int, counters: Array) -> None:
        """Count the elements whose upper 16 magnitude bits are `upper` by their lower 15 bits.

        The counts are added to `counters` [LOWER_BINS].
        """
        ...

    def count_equal(self, key: Array, bits: int) -> int:
        """How many elements have exactly these magnitude bits."""
        ...

    def mask_above(self, key: Array, bits: int, taken: int, equal: int) -> Mask:
        """The elements with magnitude bits greater than `bits`, and the first `taken` of those with exactly these bits.

        `equal` is how many elements have exactly these bits; for `bits` -1 the mask has all elements.
        """
        ...

    # Masks.

    def empty_mask(self, array: Array) -> Mask:
        """A mask for the array that marks no element."""
        ...

    def mask_at_least(self, array: Array, bound: float) -> Mask:
        """The elements that are at least `bound`, without NaN."""
        ...

    def subtract_mask(self, mask: Mask, other: Mask) -> Mask:
        """The elements that are marked in `mask` but not in `other`, written into `mask`."""
        ...

    def apply_mask(self, array: Array, mask: Mask) -> Array:
        """Set all elements outside the mask to 0, even NaN and infinities, and return the array."""
        ...

    def pack_mask(self, mask: Mask) -> Array:
        """The mask in a compact form, to be stored."""
        ...

    def unpack_mask(self, packed: Array, count: int) -> Mask:
        """The mask of `count` elements that was packed by `pack_mask`."""
        ...

    def sum_magnitudes(self, array: Array, mask: Mask) -> tuple[float, float]:
        """Σ|x| over all elements, then Σ|x| over the elements in the mask, both in fp64."""
        ...

    # Random numbers.

    def hash_indices(self, count: int, spans: Sequence[tuple[int, int, int, int]]) -> Array:
        """`count` random int32 numbers from 0 to INT31_MAX, hashed from the indices of elements.

        Each of `spans` is a tuple: how many elements, the index of the first, a key to XOR with every index before
        hashing, and a key to XOR with every hash.
        """
        ...

    def mask_below(self, numbers: Array, bound: int | Array) -> Mask:
        """The elements of `numbers` that are below the bound, or below their own bound if `bound` is an array."""
        ...

    def look_up_by_rank(self, array: Array, row: int, values: np.ndarray[Any, Any]) -> Array:
        """For each element, the entry of `values` (int32 [row]) at the rank of the element's magnitude within its row.

        Rank 0 is the smallest magnitude; of equal elements the later one has the higher rank.
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
        """Σ fᵢvᵢxᵢ / Σ wᵢ over the arrays whose vᵢxᵢ has the sign of Σ vᵢxᵢ, written into the first array.

        Here v are votes, f factors and w weights (without weights nothing is divided); if Σ vᵢxᵢ is 0 it counts as
        positive. See Yadav et al., TIES-Merging (NeurIPS 2023), section 3, steps 2 and 3.
        """
        ...

    def variance(self, arrays: Sequence[Array]) -> Array:
        """The population variance of each element across the arrays, in a new array."""
        ...

    def count_changes(self, arrays: Sequence[Array], least: float) -> list[float]:
        """How many elements of each array have |x| > least in another array too; then how many in that array alone.

        The list has the first count of every array, then the second count of every array.
        """
        ...

    def merge_changes(self, arrays: Sequence[Array], least: float, alone: Sequence[float]) -> Array:
        """The mean of each element over the arrays with |x| > least, written into the first array.

        Where only one array xᵢ has |x| > least, the result is aloneᵢ · xᵢ; where no array has, 0.
        """
        ...

    def row_divergences(self, array: Array, other: Array, row: int) -> np.ndarray[Any, Any]:
        """For each row, the KL divergence of its softmax in `array` from its softmax in `other`, in fp64."""
        ...
