"""arcee_fusion: only the changes that matter much more than most are taken over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, Statistics, Tile, Values
from stacker.ops.shared.selection import RankQuery, RankThreshold, magnitude_at, make_selection_passes

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(_own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(_take, make_selection_passes(_importance, [RankQuery(0, _quartiles)], exact=False))


def _quartiles(count: int, _nonzero: int) -> list[int]:
    """The ranks, from the largest, of the lower quartile, the median and the upper quartile."""
    return [count - 1 - int(share * (count - 1)) for share in (0.25, 0.5, 0.75)]


def _take(tile: Tile, statistics: Statistics) -> Array:
    (importance,) = _importance(tile, statistics)
    important = tile.backend.mask_at_least(importance, _threshold(statistics[1]))
    return add_base(tile.backend.apply_mask(subtract_base(tile)[0], important), tile)


def _threshold(cuts: Sequence[RankThreshold]) -> float:
    lower, median, upper = map(magnitude_at, cuts)
    return median + 1.5 * (upper - lower)


def _importance(tile: Tile, _statistics: Statistics) -> list[Array]:
    """|x − base| times the divergence of the row's softmax from the base's; the source stays as it is."""
    (source,), base = tile.sources, tile.base
    origin = source if base is None else base
    by_row = tile.backend.row_divergences(source, origin, tile.row)
    return [tile.backend.combine_rows(by_row[None], [abs(source - origin)], tile.row)]


OP = Op(
    name="arcee_fusion",
    summary="the base with only the most important changes of one source",
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
