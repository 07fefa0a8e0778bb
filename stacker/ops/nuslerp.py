"""nuslerp: slerp with weights, over the whole tensor or over each of its rows or columns, with or without a base."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.combination import combine_deltas, deltas, on_base, products
from stacker.ops.model import Base, Kernel, Known, Op, OpParameter, Pass, Tile, Values

if TYPE_CHECKING:
    import torch

_COLINEAR = 1e-8
"""Sine below which the circle is taken for the line it nearly is."""


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    one, other = (float(values["weight"]) for values in each)
    t = 0.5 if abs(one + other) < 1e-6 else other / (one + other)
    if own["nuslerp_flatten"]:
        return Kernel(_turn_all, (Pass(products, partial(_whole_factors, t)),))
    if own["nuslerp_row_wise"]:
        return Kernel(partial(_turn_columns, t), (Pass(_column_dots),))
    return Kernel(partial(_turn_rows, t))


def _column_dots(tile: Tile, known: Known) -> torch.Tensor:  # noqa: ARG001 - a Measure
    """[3, columns]"""
    import torch

    a, b = (delta.view(-1, tile.row) for delta in deltas(tile))
    return torch.stack(_products(tile, a, b, 0))


def _products(tile: Tile, a: torch.Tensor, b: torch.Tensor, along: int) -> list[torch.Tensor]:
    """a·b, a·a and b·b in fp64, along one dimension."""
    room = [scratch.view(a.shape) for scratch in tile.scratch]
    x, y = room[0].copy_(a), room[1].copy_(b)
    return [room[2].copy_(one).mul_(other).sum(along) for one, other in ((x, y), (x, x), (y, y))]


def _whole_factors(t: float, sums: Sequence[float], known: Known) -> list[float]:  # noqa: ARG001 - a Finish
    import torch

    aa, ab, bb = torch.tensor(sums, dtype=torch.float64)
    return [float(factor) for factor in _factors(t, ab, aa, bb)]


def _turn_all(tile: Tile, known: Known) -> torch.Tensor:
    return combine_deltas(known[0], tile)


def _turn_columns(t: float, tile: Tile, known: Known) -> torch.Tensor:
    a, b = (delta.view(-1, tile.row) for delta in deltas(tile))
    return _joined(tile, a, b, *_factors(t, *known[0]))


def _turn_rows(t: float, tile: Tile, known: Known) -> torch.Tensor:  # noqa: ARG001 - an Apply
    a, b = (delta.view(-1, tile.row) for delta in deltas(tile))
    left, right = _factors(t, *_products(tile, a, b, 1))
    return _joined(tile, a, b, left[:, None], right[:, None])


def _joined(tile: Tile, a: torch.Tensor, b: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return on_base(a.mul_(left.to(a.dtype)).add_(b.mul_(right.to(b.dtype))).view(-1), tile)


def _factors(t: float, ab: torch.Tensor, aa: torch.Tensor, bb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What each source is multiplied by; the line's shares where the angle is 0, straight, or not defined."""
    import torch

    cosine = (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    curved = sine > _COLINEAR
    left = torch.where(curved, torch.sin((1.0 - t) * angle) / sine, 1.0 - t)
    right = torch.where(curved, torch.sin(t * angle) / sine, t)
    return left, right


OP = Op(
    name="nuslerp",
    summary="spherical interpolation by weights, of whole tensors or of rows or columns",
    formula="sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, t = w₂/(w₁+w₂); with a base of the differences from it",
    source="Shoemake, Animating rotation with quaternion curves (SIGGRAPH 1985), section 3.3; Goddard, NuSLERP (2024)",
    arity=(2, 2),
    parameters=(
        OpParameter("weight", float, 1.0, "how much of this source", per_source=True),
        OpParameter("nuslerp_flatten", bool, True, "take the whole tensor as one vector"),
        OpParameter("nuslerp_row_wise", bool, False, "when not flat: along the first dimension, not the last"),
    ),
    make=_make,
    base=Base.OPTIONAL,
    ramp="weight",
    scratch=3,
    fresh=8,
    rows=True,
)
