"""The op `sce`: selects the elements that vary most across sources, and adds their weighted mean change to the base.

A source's weight is the mean square of its difference from the base, and only differences with the sign of their sum
over all sources are merged. See Wan et al., FuseChat (2024), section 3.3 (SCE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Pass, Statistics, Tile, Values
from stacker.ops.shared.selection import EXACT_PASSES, RankQuery, make_selection_passes, mask_before

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

_TINY = 1e-6
"""If the mean squared differences of all sources add up to less than this, the sources get equal weights."""


@dataclass(frozen=True, slots=True)
class _Sce:
    """The arithmetic of the op `sce`.

    `share` is the fraction to select of the elements that vary between sources; those that vary most are selected.
    """

    share: float

    def kernel(self) -> Kernel:
        query = RankQuery(0, lambda _count, nonzero: (int(self.share * nonzero),))
        selection = make_selection_passes(_compute_variance, [query]) if 0.0 < self.share < 1.0 else ()
        return Kernel(self._apply, (*selection, Pass(self._measure_squares, _find_weights)))

    def _select(self, tile: Tile, statistics: Statistics) -> Sequence[Array]:
        """One array for each source: its difference from the base, with 0 for every element that is not selected."""
        deltas = subtract_base(tile)
        if self.share <= 0.0:
            return [tile.backend.fill(delta, 0.0) for delta in deltas]
        if self.share < 1.0:
            selected = mask_before(statistics[2][0], tile.backend.variance(deltas), tile)
            return [tile.backend.apply_mask(delta, selected) for delta in deltas]
        return deltas

    def _measure_squares(self, tile: Tile, statistics: Statistics) -> list[float]:
        """The sum of squared differences from the base for each source, followed by the number of elements in the tile.

        The sums include only selected elements, but the number counts all elements.
        """
        sums = [tile.backend.inner_products([delta])[0] for delta in self._select(tile, statistics)]
        return [*sums, float(len(tile.sources[0]))]

    def _apply(self, tile: Tile, statistics: Statistics) -> Array:
        weights = statistics[-1]
        return add_base(
            tile.backend.merge_elected(self._select(tile, statistics), [1.0] * len(weights), weights, weights), tile
        )


def _compute_variance(tile: Tile, _statistics: Statistics) -> list[Array]:
    return [tile.backend.variance(subtract_base(tile))]


def _find_weights(sums: Sequence[float], _statistics: Statistics) -> list[float]:
    """The weight of each source: its mean squared difference, divided by the sum of these means over all sources.

    `sums` has the sum of squares of each source, then the number of elements. All weights are equal if the divisor is
    near 0.
    """
    means = [total / sums[-1] for total in sums[:-1]]
    whole = math.fsum(means)
    return [mean / whole for mean in means] if whole >= _TINY else [1.0 / len(means)] * len(means)


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return _Sce(float(own["select_topk"])).kernel()


def _count_passes(own: Values, _each: Sequence[Values]) -> int:
    return 1 + (EXACT_PASSES if 0.0 < float(own["select_topk"]) < 1.0 else 0)


OP = Op(
    name="sce",
    summary="select the elements that vary most across sources, weight sources by their changes, elect signs",
    formula="base + Σ wᵢdᵢ / Σ wᵢ over sources with the sign of Σ dᵢ, wᵢ = mean dᵢ² of elements selected by variance",
    source="Wan et al., FuseChat (2024), section 3.3 (SCE), arXiv:2408.07990",
    arity=(1, None),
    parameters=(
        OpParameter("select_topk", float, 1.0, "the fraction of differing elements to select", low=0.0, high=1.0),
    ),
    make=_make,
    base=Base.REQUIRED,
    passes=(1, 1 + EXACT_PASSES),
    count_passes=_count_passes,
    extra_bytes=5,
)
