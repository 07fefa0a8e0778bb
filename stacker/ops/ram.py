"""The ops `ram` and `ramplus_tl`: add the sources' changes to the base, averaged where several sources have changes.

A change is a source's difference from the base; `ramplus_tl` amplifies changes of elements that only one source
changed. See Reinforced agent merging (2026), arXiv:2601.13572.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make_ram(own: Values, each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_merge, float(own["epsilon"]), [1.0] * len(each)))


def _make_plus(own: Values, _each: Sequence[Values]) -> Kernel:
    epsilon, r, alpha = (float(own[name]) for name in ("epsilon", "r", "alpha"))
    measure, finish = partial(_measure, epsilon), partial(_find_factors, r, alpha)
    return Kernel(lambda tile, statistics: _merge(epsilon, statistics[0], tile, statistics), (Pass(measure, finish),))


def _measure(epsilon: float, tile: Tile, _statistics: Statistics) -> list[float]:
    """Count the elements that a source changed together with another source, and those that it alone changed.

    An element is changed if it differs from the base by more than `epsilon`. The list has the first count of every
    source, then the second count of every source.
    """
    return tile.backend.count_changes(subtract_base(tile), epsilon)


def _find_factors(r: float, alpha: float, sums: Sequence[float], _statistics: Statistics) -> list[float]:
    shared, unique = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    ratios = (both / max(own, 1.0) for both, own in zip(shared, unique, strict=True))
    return [1.0 + r * min(ratio, alpha) for ratio in ratios]


def _merge(epsilon: float, factors: Sequence[float], tile: Tile, _statistics: Statistics) -> Array:
    return add_base(tile.backend.merge_changes(subtract_base(tile), epsilon, factors), tile)


_EPSILON = OpParameter("epsilon", float, 1e-5, "differences up to this count as no change", low=0.0)
_SOURCE = "Reinforced agent merging (2026), arXiv:2601.13572"

OP = Op(
    name="ram",
    summary="keep what one source alone changed, average what several changed",
    formula="base + Σ dᵢ / (number of sources that changed the element), |dᵢ| > epsilon",
    source=_SOURCE,
    arity=(1, None),
    parameters=(_EPSILON,),
    make=_make_ram,
    base=Base.REQUIRED,
)
PLUS = Op(
    name="ramplus_tl",
    summary="as ram, with a source's own changes amplified by its ratio of shared changes in each tensor",
    formula="as ram, own changes times 1 + r · min(shared/own, alpha)",
    source=_SOURCE,
    arity=(1, None),
    parameters=(
        OpParameter("r", float, 0.1, "how strongly a source's own changes are amplified"),
        OpParameter("alpha", float, 0.2, "the upper limit of the ratio of shared to own changes", low=0.0),
        _EPSILON,
    ),
    make=_make_plus,
    base=Base.REQUIRED,
    passes=(1, 1),
)
