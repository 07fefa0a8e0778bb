"""The op `nuslerp`: spherical interpolation between two sources by their weights, for whole tensors, rows or columns.

With a base, the sources' differences from the base are interpolated, and the result is added to the base. See Shoemake,
Animating rotation with quaternion curves (SIGGRAPH 1985), section 3.3; Goddard, NuSLERP (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stacker.ops.shared.combination import add_base, combine_deltas, measure_inner_products, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.backend import Array

_COLINEAR = 1e-8
"""Interpolation is linear unless the sine of the angle between the two vectors is greater than this."""


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    one, other = (float(values["weight"]) for values in each)
    t = 0.5 if abs(one + other) < 1e-6 else other / (one + other)
    if own["nuslerp_flatten"]:
        return Kernel(_apply_whole, (Pass(measure_inner_products, partial(_finish_whole, t)),))
    if own["nuslerp_row_wise"]:
        return Kernel(partial(_apply_columns, t), (Pass(_measure_columns),))
    return Kernel(partial(_apply_rows, t))


def _count_passes(own: Values, _each: Sequence[Values]) -> int:
    return int(bool(own["nuslerp_flatten"] or own["nuslerp_row_wise"]))


def _measure_columns(tile: Tile, _statistics: Statistics) -> Array:
    return tile.backend.column_inner_products(subtract_base(tile), tile.row, tile.total)


def _finish_whole(t: float, sums: Sequence[float], _statistics: Statistics) -> list[float]:
    import numpy as np

    return [float(factor) for factor in _compute_factors(t, np.array(sums))]


def _apply_whole(tile: Tile, statistics: Statistics) -> Array:
    return combine_deltas(statistics[0], tile)


def _apply_columns(t: float, tile: Tile, statistics: Statistics) -> Array:
    return add_base(
        tile.backend.combine_columns(_compute_factors(t, statistics[0]), subtract_base(tile), tile.row), tile
    )


def _apply_rows(t: float, tile: Tile, _statistics: Statistics) -> Array:
    deltas = subtract_base(tile)
    factors = _compute_factors(t, tile.backend.row_inner_products(deltas, tile.row))
    return add_base(tile.backend.combine_rows(factors, deltas, tile.row), tile)


def _compute_factors(t: float, products: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The factors on the sources a and b as an array [2, ...]; t = 0 gives a, and t = 1 gives b.

    `products` is an array [3, ...] with the inner products a·a, a·b and b·b. Interpolation is linear where the angle
    between a and b is 0°, 180° or undefined.
    """
    import numpy as np

    aa, ab, bb = products
    with np.errstate(all="ignore"):
        angle = np.acos((ab / (np.sqrt(aa) * np.sqrt(bb))).clip(-1.0, 1.0))
        sine = np.sin(angle)
        curved = np.stack([np.sin((1.0 - t) * angle), np.sin(t * angle)]) / sine
    return np.where(sine > _COLINEAR, curved, np.stack([np.full_like(sine, 1.0 - t), np.full_like(sine, t)]))


OP = Op(
    name="nuslerp",
    summary="spherical interpolation by weights, of whole tensors, rows or columns",
    formula="sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, t = w₂/(w₁+w₂); with a base of the differences from it",
    source="Shoemake, Animating rotation with quaternion curves (SIGGRAPH 1985), section 3.3; Goddard, NuSLERP (2024)",
    arity=(2, 2),
    parameters=(
        OpParameter("weight", float, 1.0, "the weight of this source", per_source=True),
        OpParameter("nuslerp_flatten", bool, True, "treat the whole tensor as one vector"),
        OpParameter("nuslerp_row_wise", bool, False, "if not flattened, treat columns as vectors instead of rows"),
    ),
    make=_make,
    base=Base.OPTIONAL,
    passes=(0, 1),
    count_passes=_count_passes,
    ramp="weight",
    whole_rows=True,
)
