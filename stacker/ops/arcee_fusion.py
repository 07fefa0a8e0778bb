"""The op `arcee_fusion`: adds the most important elements of one source's difference from the base to the base.

The importance of an element is |x − base| times the KL divergence between the softmax of its row in the source x and in
the base (Arcee, MergeKit v0.1, 2025, announcement of Arcee Fusion).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, Statistics, Tile, Values
from stacker.ops.shared.selection import RankQuery, RankThreshold, magnitude_at, make_selection_passes

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(_own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(
        _keep_important, make_selection_passes(_compute_importance, [RankQuery(0, _quartile_ranks)], exact=False)
    )


def _quartile_ranks(count: int, _nonzero: int) -> list[int]:
    """The ranks of the lower quartile, median and upper quartile of `count` elements; the largest has rank 0."""
    return [count - 1 - int(share * (count - 1)) for share in (0.25, 0.5, 0.75)]


def _keep_important(tile: Tile, statistics: Statistics) -> Array:
    (importance,) = _compute_importance(tile, statistics)
    important = tile.backend.mask_at_least(importance, _find_threshold(statistics[1]))
    return add_base(tile.backend.apply_mask(subtract_base(tile)[0], important), tile)


def _find_threshold(quartiles: Sequence[RankThreshold]) -> float:
    lower, median, upper = map(magnitude_at, quartiles)
    return median + 1.5 * (upper - lower)


def _compute_importance(tile: Tile, _statistics: Statistics) -> list[Array]:
    """The importance of each element of the tile, as a list with one new array.

    It is |x − base| times the KL divergence between the softmax of the element's row in x and of its row in the base.
    """
    (source,), base = tile.sources, tile.base
    origin = source if base is None else base
    by_row = tile.backend.row_divergences(source, origin, tile.row)
    return [tile.backend.combine_rows(by_row[None], [abs(source - origin)], tile.row)]


OP = Op(
    name="arcee_fusion",
    summary="the base plus the most important differences of one source",
    formula="base + d where |d| · KL(softmax x, softmax base) ≥ median + 1.5 · (Q₃ − Q₁), the softmax over rows",
    source="Arcee, MergeKit v0.1 (2025), announcement of Arcee Fusion",
    arity=(1, 1),
    parameters=(),
    make=_make,
    base=Base.REQUIRED,
    passes=(2, 2),
    extra_bytes=9,
    whole_rows=True,
)
