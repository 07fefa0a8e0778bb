"""The family of task-vector ops: what each source adds to the base, sparsified, agreed upon, and added to the base.

sparsify × consensus × rescale: an op of the family says how elements are kept, and whether signs are elected.
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
"""A sum of weights below this is not divided by."""
WEIGHT = OpParameter("weight", float, 1.0, "how much of what this source adds", per_source=True)
DENSITY = OpParameter("density", float, 1.0, "the share of elements kept", low=0.0, high=1.0, per_source=True)
LAMBDA = OpParameter("lambda", float, 1.0, "what the sum is multiplied by before it is added to the base")
SEED = OpParameter("seed", int, 0, "another number gives another draw", low=0)


def normalize_parameter(default: bool) -> OpParameter:
    """The parameter of that name."""
    return OpParameter("normalize", bool, default, "divide by the sum of the weights that took part")


def rescale_parameter(default: bool) -> OpParameter:
    """The parameter of that name."""
    return OpParameter("rescale", bool, default, "after elements are dropped, restore the sum of magnitudes")


@dataclass(frozen=True, slots=True)
class TaskVectors:
    """One op of the family with its values: a sparsifier and a weight a source."""

    sparsifiers: Sequence[Sparsifier]
    weights: Sequence[float]
    elect: bool
    normalize: bool
    rescale: bool
    factor: float

    def kernel(self) -> Kernel:
        """Passes for ranks where elements are ranked, one for magnitudes where they are restored, then the sum."""
        passes = self._ranking()
        if self.rescale and any(not isinstance(each, KeepAll) for each in self.sparsifiers):
            passes = (*passes, Pass(self._magnitudes, lambda sums, _statistics: _ratios(sums)))
        return Kernel(self._apply, passes)

    def _ranking(self) -> tuple[Pass, ...]:
        ranked = [number for number, each in enumerate(self.sparsifiers) if each.ranks(1)]
        if not ranked:
            return ()
        sought = [RankQuery(at, _ranks(self.sparsifiers[number])) for at, number in enumerate(ranked)]
        return make_selection_passes(lambda tile, _statistics: _chosen(tile, ranked), sought)

    def _masks(self, found: Sequence[Array], tile: Tile, statistics: Statistics) -> Iterator[Mask | None]:
        """Source by source, so that one is held at a time."""
        counts = [len(each.ranks(1)) for each in self.sparsifiers]
        cuts: Sequence[RankThreshold] = statistics[2] if any(counts) else ()
        ends = pairwise(accumulate(counts, initial=0))
        for number, (each, delta, (start, stop)) in enumerate(zip(self.sparsifiers, found, ends, strict=True)):
            yield each.mask(delta, cuts[start:stop], tile, number)

    def _magnitudes(self, tile: Tile, statistics: Statistics) -> list[float]:
        """Σ|d| of each source, then of what is kept of it; both 0 where all is kept."""
        found = subtract_base(tile)
        before, after = [0.0] * len(found), [0.0] * len(found)
        for number, mask in enumerate(self._masks(found, tile, statistics)):
            if mask is not None:
                before[number], after[number] = tile.backend.sum_magnitudes(found[number], mask)
        return before + after

    def _apply(self, tile: Tile, statistics: Statistics) -> Array:
        scales = statistics[-1] if self.rescale and statistics else [1.0] * len(tile.sources)
        factors = [weight * scale for weight, scale in zip(self.weights, scales, strict=True)]
        if self.elect:
            found, weights = self._sparse(tile, statistics), self.weights if self.normalize else None
            return add_base(tile.backend.merge_elected(found, factors, [self.factor] * len(found), weights), tile)
        shares = [self.factor / self._divisor() * factor for factor in factors]
        if all(isinstance(each, KeepAll) for each in self.sparsifiers):
            return combine_deltas(shares, tile)
        return add_base(tile.backend.combine(shares, self._sparse(tile, statistics)), tile)

    def _sparse(self, tile: Tile, statistics: Statistics) -> Sequence[Array]:
        found = subtract_base(tile)
        for delta, mask in zip(found, self._masks(found, tile, statistics), strict=True):
            if mask is not None:
                tile.backend.apply_mask(delta, mask)
        return found

    def _divisor(self) -> float:
        total = sum(self.weights)
        return total if self.normalize and abs(total) >= _NO_WEIGHT else 1.0


def make_sparsifier(density: float, make: Callable[[float], Sparsifier]) -> Sparsifier:
    """What `make` gives for a density between 0 and 1; at the ends there is nothing to choose."""
    return KeepAll() if density >= 1.0 else DropAll() if density <= 0.0 else make(density)


def make_task_vector_kernel(
    own: Values, each: Sequence[Values], make: Callable[[Values, Values], Sparsifier], *, elect: bool
) -> Kernel:
    """The kernel of an op of the family; `make` gives a source's sparsifier from the op's values and its own."""
    return TaskVectors(
        sparsifiers=[make(own, values) for values in each],
        weights=[float(values["weight"]) for values in each],
        elect=elect,
        normalize=bool(own["normalize"]),
        rescale=bool(own.get("rescale", False)),
        factor=float(own["lambda"]),
    ).kernel()


def count_rescaling_passes(own: Values, each: Sequence[Values]) -> int:
    """One pass for the magnitudes, if any elements are dropped and they are to be restored."""
    return int(bool(own["rescale"]) and any(float(values["density"]) < 1.0 for values in each))


def count_ranking_passes(own: Values, each: Sequence[Values]) -> int:
    """The passes of a selection, if any source needs one, and that for the magnitudes."""
    ranked = any(0.0 < float(values["density"]) < 1.0 for values in each)
    return EXACT_PASSES * ranked + count_rescaling_passes(own, each)


def _ranks(sparsifier: Sparsifier) -> Callable[[int, int], Sequence[int]]:
    return lambda count, _nonzero: sparsifier.ranks(count)


def _chosen(tile: Tile, numbers: Sequence[int]) -> list[Array]:
    found = subtract_base(tile)
    return [found[number] for number in numbers]


def _ratios(sums: Sequence[float]) -> list[float]:
    """Σ|d| before and after, source by source; 1 where either is as good as none."""
    before, after = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    return [one / other if min(one, other) >= 1e-7 else 1.0 for one, other in zip(before, after, strict=True)]
