"""The arithmetic that ops are written in: what any device must be able to do with tiles.

An array here is one flat run of elements, fp32 or fp64, where its device holds it: numpy's on the processor, torch's
elsewhere. Functions write into the first array that they are given where they say so, and may spoil the others beside
it, but never a base; they make new ones otherwise. Factors and bounds too large for the arrays' type are infinite.
Nothing that depends on values is left to a device's own order of work, so threads and tiles change no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stacker.tensors import Dtype

if TYPE_CHECKING:
    import numpy as np

Array = Any
"""A flat array of a device: float32 or float64; of counts int64, of drawn numbers int32."""
Mask = Any
"""Which elements of an array are chosen, in the device's own form."""

INT31_MAX = (1 << 31) - 1
"""The greatest number that is drawn, and all bits of an fp32 magnitude."""
HASH_FACTORS = 0x7FEB352D, 0x846CA68B
"""Of the permutation `lowbias32` (Wellons, Hash prospector, 2018), which is taken over 31 bits."""
EPSILON = 1e-8
"""Added to probabilities, so that none is 0."""
UPPER_BINS, LOWER_BINS = 1 << 16, 1 << 15
"""How many values the upper 16 and the lower 15 bits of an fp32 magnitude have."""


class Backend(Protocol):
    """What is done to tiles on one kind of device."""

    def array(self, memory: Any, dtype: Dtype) -> Array:
        """Some of the device's own memory, as elements of any type."""
        ...

    def convert(self, target: Array, source: Array) -> Array:
        """Put values into an array of another type, each rounded once, to nearest even; one of the two is of tiles.

        fp8_e4m3 has no infinity: what is larger than its largest number becomes that.
        """
        ...

    def fill(self, array: Array, value: float) -> Array:
        """The array, every element the same."""
        ...

    def to_numpy(self, total: Array) -> np.ndarray[Any, Any]:
        """Counts or sums, as an array of numpy's."""
        ...

    # Sums: see `stacker.arithmetic.sums`.

    def combine(self, factors: Sequence[float], arrays: Sequence[Array], base: Array | None = None) -> Array:
        """Σ fᵢxᵢ, or b + Σ fᵢ(xᵢ − b), written into the first.

        One of factor 0 does not count at all: its NaN and infinities stay out.
        """
        ...

    def subtract(self, arrays: Sequence[Array], base: Array) -> Sequence[Array]:
        """xᵢ − b, each written into its own array."""
        ...

    def add(self, array: Array, other: Array, factor: float = 1.0) -> Array:
        """x + fy, written into x."""
        ...

    def clamp(self, array: Array, most: float) -> Array:
        """Cut to [−most, most], written into the array; NaN stays."""
        ...

    def inner_products(self, arrays: Sequence[Array]) -> list[float]:
        """⟨xᵢ, xⱼ⟩ for i ≤ j, in fp64."""
        ...

    def row_inner_products(self, arrays: Sequence[Array], row: int) -> np.ndarray[Any, Any]:
        """⟨xᵢ, xⱼ⟩ for i ≤ j within each row of `row` elements, fp64, [pairs, rows]."""
        ...

    def column_inner_products(self, arrays: Sequence[Array], row: int, total: Array | None) -> Array:
        """⟨xᵢ, xⱼ⟩ for i ≤ j within each column, fp64, [pairs, row], added to `total` where there is one."""
        ...

    def combine_rows(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[r]xᵢ, r the element's row, `factors` [arrays, rows]; written into the first."""
        ...

    def combine_columns(self, factors: np.ndarray[Any, Any], arrays: Sequence[Array], row: int) -> Array:
        """Σ fᵢ[c]xᵢ, c the element's column, `factors` [arrays, row]; written into the first."""
        ...

    # Ranks: by the magnitude of an element rounded to fp32. NaN comes after infinity.

    def zero_counters(self, *shape: int) -> Array:
        """Zeros to count in, int64."""
        ...

    def count_upper(self, key: Array, counters: Array) -> None:
        """Count elements by the upper bits of their magnitude, [UPPER + 1]; last comes the number that are not 0."""
        ...

    def count_lower(self, key: Array, upper: int, counters: Array) -> None:
        """Of those with these upper bits, count elements by the lower bits of their magnitude, [LOWER]."""
        ...

    def count_equal(self, key: Array, bits: int) -> int:
        """How many magnitudes have exactly these bits."""
        ...

    def mask_above(self, key: Array, bits: int, taken: int, equal: int) -> Mask:
        """Which magnitudes have greater bits (-1: all), and the first `taken` of the `equal` ones that have these."""
        ...

    # Masks.

    def empty_mask(self, array: Array) -> Mask:
        """Chooses no element."""
        ...

    def mask_at_least(self, array: Array, bound: float) -> Mask:
        """Which elements are not less than that, and are numbers."""
        ...

    def subtract_mask(self, mask: Mask, other: Mask) -> Mask:
        """What the first chooses and the other does not."""
        ...

    def apply_mask(self, array: Array, mask: Mask) -> Array:
        """0 where nothing is chosen, written into the array; NaN and infinities there go too."""
        ...

    def pack_mask(self, mask: Mask) -> Array:
        """The mask in as little memory as the device can easily hold it in."""
        ...

    def unpack_mask(self, packed: Array, count: int) -> Mask:
        """The mask of `count` elements that was packed."""
        ...

    def sum_magnitudes(self, array: Array, mask: Mask) -> tuple[float, float]:
        """Σ|x| over all, and over the chosen, in fp64."""
        ...

    # Draws.

    def hash_indices(self, count: int, blocks: Sequence[tuple[int, int, int, int]]) -> Array:
        """An int32 from 0 to MOST for each element, mixed from its index.

        For each of `blocks`, one after the other: how many elements, the index of the first, and the keys that indices
        are changed by before they are mixed, and after.
        """
        ...

    def mask_below(self, numbers: Array, bound: int | Array) -> Mask:
        """Which numbers are below a bound, the same for all or each its own."""
        ...

    def look_up_by_rank(self, array: Array, row: int, values: np.ndarray[Any, Any]) -> Array:
        """For each element of `values`, int32 [row], that of its rank by magnitude in its row, the smallest first.

        Of equal elements the later one ranks higher.
        """
        ...

    # Agreement between arrays.

    def merge_elected(
        self,
        arrays: Sequence[Array],
        votes: Sequence[float],
        factors: Sequence[float],
        weights: Sequence[float] | None,
    ) -> Array:
        """Σ fᵢvᵢxᵢ over those vᵢxᵢ whose sign is that of Σ vᵢxᵢ, divided by their weights; written into the first.

        A sum of 0 counts as positive; what nothing agrees with is 0. See Yadav et al., TIES-Merging (NeurIPS 2023),
        section 3, steps 2 and 3.
        """
        ...

    def variance(self, arrays: Sequence[Array]) -> Array:
        """Of each element, over the arrays."""
        ...

    def count_changes(self, arrays: Sequence[Array], least: float) -> list[float]:
        """How many elements of each array, of those beyond ±least, are so in others too; then how many in it alone."""
        ...

    def merge_changes(self, arrays: Sequence[Array], least: float, alone: Sequence[float]) -> Array:
        """Of what is beyond ±least, the mean where it is so in several, `aloneᵢ` · xᵢ where in one; into the first."""
        ...

    def row_divergences(self, array: Array, other: Array, row: int) -> np.ndarray[Any, Any]:
        """KL of the softmax of each row of one from that of the other, fp64, [rows]."""
        ...
