"""arcee_fusion: only the changes that matter much more than most are taken over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.combination import deltas, on_base
from stacker.ops.masks import chosen, keep
from stacker.ops.model import Base, Kernel, Known, Op, Tile, Values
from stacker.ops.selection import Cut, Sought, passes_for, value_at

if TYPE_CHECKING:
    import torch

_EPSILON = 1e-8
"""Added to probabilities, so that none is 0."""
_BLOCK = 1 << 14
"""Elements that are held in fp64 at a time."""


def _make(own: Values, each: Sequence[Values]) -> Kernel:  # noqa: ARG001 - a MakeKernel
    return Kernel(_take, passes_for(_importance, [Sought(0, _quartiles)], exact=False))


def _quartiles(count: int, nonzero: int) -> list[int]:  # noqa: ARG001 - Ranks
    """The ranks, from the largest, of the lower quartile, the median and the upper quartile."""
    return [count - 1 - int(share * (count - 1)) for share in (0.25, 0.5, 0.75)]


def _take(tile: Tile, known: Known) -> torch.Tensor:
    (important,) = _importance(tile, known)
    return on_base(keep(deltas(tile)[0], chosen(important >= _threshold(known[1]))), tile)


def _threshold(cuts: Sequence[Cut]) -> float:
    lower, median, upper = map(value_at, cuts)
    return median + 1.5 * (upper - lower)


def _importance(tile: Tile, known: Known) -> list[torch.Tensor]:  # noqa: ARG001 - Keys
    """|x − base| times the divergence of the row's softmax from the base's."""
    import torch

    source, base = tile.sources[0].view(-1, tile.row), tile.base
    origin = source if base is None else base.view(-1, tile.row)
    step = max(_BLOCK // tile.row, 1)
    parts = (
        _divergence(source[start : start + step], origin[start : start + step]) for start in range(0, len(source), step)
    )
    by_row = torch.cat(list(parts)).to(source.dtype)
    return [(source - origin).abs_().mul_(by_row[:, None]).view(-1)]


def _divergence(rows: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """KL of two distributions, row by row; rounding apart it is not negative."""
    p, q = (each.double().softmax(1).add_(_EPSILON) for each in (rows, origin))
    return p.mul_((p / q).log_()).sum(1).clamp_(min=0.0)


OP = Op(
    name="arcee_fusion",
    summary="the base with only the most important changes of one source",
    formula="base + d where |d| · KL(softmax x, softmax base) ≥ median + 1.5 · (Q₃ − Q₁), the softmax over rows",
    source="Arcee, MergeKit v0.1 (2025), announcement of Arcee Fusion",
    arity=(1, 1),
    parameters=(),
    make=_make,
    base=Base.REQUIRED,
    fresh=24,
    rows=True,
)
