"""Makes the kernels of task-vector ops, which sparsify and merge deltas and add the result to the base.

A delta is a source's difference from the base. The ops differ in how they sparsify deltas, and in whether they merge
only elements with the elected sign: the sign of the weighted sum of all deltas at that element (TIES).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, combine_deltas, subtract_base
from stacker.ops.shared.op import Kernel, OpParameter, Pass, Statistics, Tile, Values
from stacker.ops.shared.selection import EXACT_PASSES, RankQuery, RankThreshold, make_selection_passes
from stacker.ops.shared.sparsifiers import DropAll, KeepAll, Sparsifier

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array, Mask

_NO_WEIGHT = 1e-8
"""If the magnitude of the sum of the weights is below this, the result is not divided by that sum."""
WEIGHT = OpParameter("weight", float, 1.0, "the factor on this source's difference from the base", per_source=True)
DENSITY = OpParameter(
    "density", float, 1.0, "the fraction of elements that are kept", low=0.0, high=1.0, per_source=True
)
LAMBDA = OpParameter("lambda", float, 1.0, "the factor on the sum before it is added to the base")
SEED = OpParameter("seed", int, 0, "the seed of the random draw", low=0)


def normalize_parameter(default: bool) -> OpParameter:
    """The declaration of the op parameter `normalize`, with the given default."""
    return OpParameter("normalize", bool, default, "divide by the sum of the weights of the sources used")


def rescale_parameter(default: bool) -> OpParameter:
    """The declaration of the op parameter `rescale`, with the given default."""
    return OpParameter("rescale", bool, default, "scale the kept elements up to the sum of magnitudes before dropping")


@dataclass(frozen=True, slots=True)
class TaskVectors:
    """The arithmetic of a task-vector op for given parameter values.

    `sparsifiers` and `weights` have one entry for each source, and the merged delta is multiplied by `factor`. The
    flags turn on the election of signs, the division by the sum of weights, and the rescaling of kept elements.
    """

    sparsifiers: Sequence[Sparsifier]
    """One sparsifier for each source."""
    weights: Sequence[float]
    """One weight for each source."""
    elect: bool
    """Whether only elements with the elected sign are merged: the sign of the weighted sum of all deltas."""
    normalize: bool
    """Whether the sum of the deltas is divided by the sum of their weights."""
    rescale: bool
    """Whether the kept elements of a delta d are scaled up so that Σ|d| is what it was before elements were dropped."""
    factor: float
    """The factor (lambda) on the sum before it is added to the base."""

    def kernel(self) -> Kernel:
        """The kernel of the op.

        It has passes for ranking if a sparsifier ranks elements over the whole tensor, and a pass that sums magnitudes
        if kept elements are rescaled.
        """
        passes = self._ranking_passes()
        if self.rescale and any(not isinstance(each, KeepAll) for each in self.sparsifiers):
            passes = (*passes, Pass(self._magnitudes, lambda sums, _statistics: _divide_sums(sums)))
        return Kernel(self._apply, passes)

    def _ranking_passes(self) -> tuple[Pass, ...]:
        ranked = [number for number, each in enumerate(self.sparsifiers) if each.ranks(1)]
        if not ranked:
            return ()
        queries = [RankQuery(key, _choose_ranks(self.sparsifiers[number])) for key, number in enumerate(ranked)]
        return make_selection_passes(lambda tile, _statistics: _select_deltas(tile, ranked), queries)

    def _masks(self, deltas: Sequence[Array], tile: Tile, statistics: Statistics) -> Iterator[Mask | None]:
        """Yield the mask of each source in turn, or None for a source that keeps all elements.

        Only one mask is in memory at a time.
        """
        counts = [len(each.ranks(1)) for each in self.sparsifiers]
        thresholds: Sequence[RankThreshold] = statistics[2] if any(counts) else ()
        ends = pairwise(accumulate(counts, initial=0))
        for number, (each, delta, (start, stop)) in enumerate(zip(self.sparsifiers, deltas, ends, strict=True)):
            yield each.mask(delta, thresholds[start:stop], tile, number)

    def _magnitudes(self, tile: Tile, statistics: Statistics) -> list[float]:
        """Σ|d| over all elements of each source's delta d in the tile, then Σ|d| over the kept elements of each delta.

        For a source that keeps all elements, both sums are reported as 0.
        """
        deltas = subtract_base(tile)
        before, after = [0.0] * len(deltas), [0.0] * len(deltas)
        for number, mask in enumerate(self._masks(deltas, tile, statistics)):
            if mask is not None:
                before[number], after[number] = tile.backend.sum_magnitudes(deltas[number], mask)
        return before + after

    def _apply(self, tile: Tile, statistics: Statistics) -> Array:
        scales = statistics[-1] if self.rescale and statistics else [1.0] * len(tile.sources)
        factors = [weight * scale for weight, scale in zip(self.weights, scales, strict=True)]
        if self.elect:
            deltas, weights = self._sparsify(tile, statistics), self.weights if self.normalize else None
            return add_base(tile.backend.merge_elected(deltas, factors, [self.factor] * len(deltas), weights), tile)
        shares = [self.factor / self._divisor() * factor for factor in factors]
        if all(isinstance(each, KeepAll) for each in self.sparsifiers):
            return combine_deltas(shares, tile)
        return add_base(tile.backend.combine(shares, self._sparsify(tile, statistics)), tile)

    def _sparsify(self, tile: Tile, statistics: Statistics) -> Sequence[Array]:
        deltas = subtract_base(tile)
        for delta, mask in zip(deltas, self._masks(deltas, tile, statistics), strict=True):
            if mask is not None:
                tile.backend.apply_mask(delta, mask)
        return deltas

    def _divisor(self) -> float:
        total = sum(self.weights)
        return total if self.normalize and abs(total) >= _NO_WEIGHT else 1.0


def make_sparsifier(density: float, make: Callable[[float], Sparsifier]) -> Sparsifier:
    """The sparsifier for a density: KeepAll if it is 1 or more, DropAll if 0 or less, else the result of `make`."""
    return KeepAll() if density >= 1.0 else DropAll() if density <= 0.0 else make(density)


def make_task_vector_kernel(
    own: Values, each: Sequence[Values], make: Callable[[Values, Values], Sparsifier], *, elect: bool
) -> Kernel:
    """The kernel of a task-vector op; `make` returns a source's sparsifier from the blend's and the source's values.

    With `elect`, only elements with the sign of the weighted sum of all deltas are merged (TIES).
    """
    return TaskVectors(
        sparsifiers=[make(own, values) for values in each],
        weights=[float(values["weight"]) for values in each],
        elect=elect,
        normalize=bool(own["normalize"]),
        rescale=bool(own.get("rescale", False)),
        factor=float(own["lambda"]),
    ).kernel()


def count_rescaling_passes(own: Values, each: Sequence[Values]) -> int:
    """How many passes rescaling takes: 1 if `rescale` is on and the density of a source is below 1, else 0."""
    return int(bool(own["rescale"]) and any(float(values["density"]) < 1.0 for values in each))


def count_ranking_passes(own: Values, each: Sequence[Values]) -> int:
    """How many passes are needed to rank elements by magnitude and to rescale the kept elements.

    Elements are ranked if the density of a source is between 0 and 1.
    """
    ranked = any(0.0 < float(values["density"]) < 1.0 for values in each)
    return EXACT_PASSES * ranked + count_rescaling_passes(own, each)


def _choose_ranks(sparsifier: Sparsifier) -> Callable[[int, int], Sequence[int]]:
    return lambda count, _nonzero: sparsifier.ranks(count)


def _select_deltas(tile: Tile, numbers: Sequence[int]) -> list[Array]:
    deltas = subtract_base(tile)
    return [deltas[number] for number in numbers]


def _divide_sums(sums: Sequence[float]) -> list[float]:
    """The factor on each source's delta d: Σ|d| over all elements divided by Σ|d| over the kept ones.

    It is 1 if one of these sums is near 0. `sums` has the first sum of every source, then the second sum of every
    source.
    """
    before, after = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    return [one / other if min(one, other) >= 1e-7 else 1.0 for one, other in zip(before, after, strict=True)]
