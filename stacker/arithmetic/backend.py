"""Defines the interface `Backend` of the array operations; one class implements it for the CPU, another for a GPU.

Arrays are one-dimensional and of type fp32 or fp64: numpy arrays on the CPU, torch tensors on a GPU. Sums are added up
in a fixed order, so that their results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stacker.tensors import Dtype

if TYPE_CHECKING:
    import numpy as np

Array = Any
"""A one-dimensional array: float32 or float64 for tensor elements, int64 for counts, int32 for random numbers."""
Mask = Any
"""Says for each element of an array whether the element is marked; each backend has a different type for masks."""

INT31_MAX = (1 << 31) - 1
"""2³¹ − 1: the greatest random number, and a bit mask for all bits of an fp32 number except the sign."""
HASH_FACTORS = 0x7FEB352D, 0x846CA68B
"""The two multipliers of the hash function `lowbias32` (Wellons, Hash prospector, 2018), used here on 31 bits."""
EPSILON = 1e-8
"""Added to every softmax probability, so that no probability is 0."""
UPPER_BINS, LOWER_BINS = 1 << 16, 1 << 15
"""The number of values that the upper 16 bits, and the lower 15 bits, of an fp32 number without its sign can have."""


class Backend(Protocol):
    """Operations on arrays, for one type of device.

    A method that writes into its first array may overwrite its other arrays too, except `base`; a method that does not
    say where it writes returns a new array. Factors and bounds too large for the type of the arrays become infinite.
    """

    def array(self, memory: Any, dtype: Dtype) -> Array:
        """View `memory` as an array of `dtype`, without a copy."""
        ...

    def convert(self, target: Array, source: Array) -> Array:
        """Copy `source` into `target`, rounding once to nearest even; at least one of the two arrays is fp32 or fp64.

        The type fp8_e4m3 has no infinity, so values too large for fp8_e4m3 become the largest fp8_e4m3 number.
        """
        ...

    def fill(self, array: Array, value: float) -> Array:
        """Set every element of the array to `value`, and return the array."""
        ...

    def to_numpy(self, total: Array) -> np.ndarray[Any, Any]:
        """Return the counts or sums in `total` as a numpy array."""
        ...

    # Sums: see `stacker.arithmetic.sums`.

    def combine(self, factors: Sequence[float], arrays: Sequence[Array], base: Array | None = None) -> Array:
        """Write Σ fᵢxᵢ, or b + Σ fᵢ(xᵢ − b) if there is a base b, into the first array, and return the first array.

        An array whose factor is 0 is not used, so that NaN and infinities in that array have no effect.
        """
        ...

    def subtract(self, arrays: Sequence[Array], base: Array) -> Sequence[Array]:
        """Write xᵢ − b into each array xᵢ, and return the arrays; b is the base."""
        ...

    def add(self, array: Array, other: Array, factor: float = 1.0) -> Array:
        """Write x + fy into x, and return x; x is `array`, y is `other` and f is `factor`."""
        ...

    def clamp(self, array: Array, most: float) -> Array:
        """Clamp the elements to [−most, most] in place, and return the array; NaN is not changed."""
        ...

    def inner_products(self, arrays: Sequence[Array]) -> list[float]:
        """Compute the inner products ⟨xᵢ, xⱼ⟩ of all pairs i ≤ j in fp64, in the order (0, 0), (0, 1), …, (1, 1), …"""
        ...

    def row_inner_products(self, arrays: Sequence[Array], row: int) -> np.ndarray[Any, Any]:
        """Compute in fp64 the inner products ⟨xᵢ, xⱼ⟩ of the arrays, row by row, for all pairs i ≤ j.

        A row has `row` elements, and the result has the shape [pairs, rows].
        """
        ...

    def column_inner_products(self, arrays: Sequence[Array], row: int, total: Array | None) -> Array:
        """Compute in fp64 the inner products ⟨xᵢ, xⱼ⟩ of the arrays, column by column, for all pairs i ≤ j.

        The arrays are matrices with rows of `row` elements, and the result has the shape [pairs, row]; if `total` is
        given, the result is added to `total`, which is returned.
        """
        ...

    def combine_rows(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Write Σ fᵢ[r]xᵢ into the first array, where r is the number of the element's row, and return the first array.

        The shape of `factors` is [arrays, rows], and `row` is the length of a row.
        """
        ...

    def combine_columns(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Write Σ fᵢ[c]xᵢ into the first array, where c is the element's index in its row, and return the first array.

        The shape of `factors` is [arrays, row], where `row` is the length of a row.
        """
        ...

    # Products of thin matrices: see `stacker.arithmetic.products`.

    def gather(
        self,
        array: Array,
        start: int,
        steps: tuple[int, int, int],
        shape: tuple[int, int, int],
        padded: tuple[int, int, int],
    ) -> Array:
        """Copy elements start + a·i + b·j + c·k of `array` to [i, j, k] of a new array; `steps` are (a, b, c).

        i, j and k are below the sizes in `shape`; the new array has the shape `padded`, and is 0 elsewhere.
        """
        ...

    def add_product(self, array: Array, left: Array, right: Array, factor: float, start: int) -> Array:
        """Add f · left · right to elements of a matrix, and return the array; f is `factor`.

        `array` has the elements of the matrix from number `start` on, row by row. `left` is [rows, rank] and `right`
        [rank, width]; the rank is a multiple of 4. The product of two rows is summed in the order of the rank.
        """
        ...

    # Ranks. The "magnitude bits" of an element x are the 31 bits of |x| rounded to fp32, read as an integer; NaN has
    # greater magnitude bits than infinity.

    def zero_counters(self, *shape: int) -> Array:
        """Create an int64 array of zeros with this shape."""
        ...

    def count_upper(self, key: Array, counters: Array) -> None:
        """Count the elements of `key` by the upper 16 of their magnitude bits (the bits of |x| in fp32).

        The counts are added to `counters` [UPPER_BINS + 1], whose last entry counts all elements that are not 0.
        """
        ...

    def count_lower(self, key: Array, upper: int, counters: Array) -> None:
        """Count the elements whose upper 16 magnitude bits are `upper`, by their lower 15 magnitude bits.

        The counts are added to `counters` [LOWER_BINS]; the magnitude bits of x are the bits of |x| in fp32.
        """
        ...

    def count_equal(self, key: Array, bits: int) -> int:
        """Count the elements x of `key` for which the bits of |x| in fp32 equal `bits`."""
        ...

    def mask_above(self, key: Array, bits: int, taken: int, equal: int) -> Mask:
        """Mark the elements whose magnitude bits (the bits of |x| in fp32) exceed `bits`.

        Of the `equal` elements whose magnitude bits equal `bits`, the first `taken` are marked too; if `bits` is -1,
        all elements are marked.
        """
        ...

    # Masks.

    def empty_mask(self, array: Array) -> Mask:
        """Create a mask for the array that marks no element."""
        ...

    def mask_at_least(self, array: Array, bound: float) -> Mask:
        """Mark the elements that are at least `bound`; NaN is never marked."""
        ...

    def subtract_mask(self, mask: Mask, other: Mask) -> Mask:
        """Unmark in `mask` the elements that `other` marks, and return `mask`."""
        ...

    def apply_mask(self, array: Array, mask: Mask) -> Array:
        """Set all elements that the mask does not mark to 0, even NaN and infinities, and return the array."""
        ...

    def pack_mask(self, mask: Mask) -> Array:
        """Convert the mask to an array of less memory, from which `unpack_mask` restores the mask."""
        ...

    def unpack_mask(self, packed: Array, count: int) -> Mask:
        """Restore the mask of `count` elements that `pack_mask` converted to `packed`."""
        ...

    def sum_magnitudes(self, array: Array, mask: Mask) -> tuple[float, float]:
        """Compute in fp64 a pair of sums: Σ|x| over all elements, and Σ|x| over the elements that the mask marks."""
        ...

    # Random numbers.

    def hash_indices(self, count: int, spans: Sequence[tuple[int, int, int, int]]) -> Array:
        """Make `count` random int32 numbers from 0 to INT31_MAX by hashing the indices of elements.

        Each span is a tuple: a number of elements, the index of the first of these elements, a key to XOR with every
        index before it is hashed, and a key to XOR with every hash.
        """
        ...

    def mask_below(self, numbers: Array, bound: int | Array) -> Mask:
        """Mark the numbers below `bound`; if `bound` is an array, compare each number with the bound at its index."""
        ...

    def look_up_by_rank(self, array: Array, row: int, values: np.ndarray[Any, Any]) -> Array:
        """Rank the elements of each row by magnitude, and return for each element the entry of `values` at its rank.

        `values` is int32 with one entry for each rank. Rank 0 is the smallest magnitude; of two elements with equal
        magnitudes, the later element has the higher rank.
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
        """Write Σ fᵢvᵢxᵢ / Σ wᵢ, summed over the arrays whose vᵢxᵢ has the sign of Σ vᵢxᵢ, into the first array.

        Here v are `votes`, f `factors` and w `weights`; without weights, the first sum is not divided. A Σ vᵢxᵢ of 0
        counts as positive; see Yadav et al., TIES-Merging (NeurIPS 2023), section 3, steps 2 and 3.
        """
        ...

    def variance(self, arrays: Sequence[Array]) -> Array:
        """Compute for each index the population variance of the arrays' elements at that index, in a new array."""
        ...

    def count_changes(self, arrays: Sequence[Array], least: float) -> list[float]:
        """Count the elements x of each array that have |x| > least.

        The first half of the list has one count per array: elements at indices where another array has |x| > least too.
        The second half, again one count per array, counts elements at indices where no other array has |x| > least.
        """
        ...

    def merge_changes(self, arrays: Sequence[Array], least: float, alone: Sequence[float]) -> Array:
        """Write into the first array, at each index, the mean of the elements xᵢ at that index that have |xᵢ| > least.

        If only one array has such an element xᵢ, aloneᵢ · xᵢ is written; if no array has such an element, 0 is written.
        """
        ...

    def row_divergences(self, array: Array, other: Array, row: int) -> np.ndarray[Any, Any]:
        """Compute for each row of `row` elements in fp64 the KL divergence of softmax(array) from softmax(other)."""
        ...
