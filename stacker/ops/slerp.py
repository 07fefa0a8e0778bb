"""The op `slerp`: spherical interpolation between two tensors, each of them flattened into one vector.

See Shoemake, Animating rotation with quaternion curves (SIGGRAPH 1985), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

_PARALLEL = 0.9995
"""If the magnitude of the cosine between the two sources is above this, interpolation is linear."""


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_interpolate, float(own["t"])), (Pass(_measure),))


def _measure(tile: Tile, _statistics: Statistics) -> list[float]:
    """The inner products a·b, a·a and b·b over one tile, where a and b are the two sources, in fp64."""
    aa, ab, bb = tile.backend.inner_products(tile.sources)
    return [ab, aa, bb]


def _interpolate(t: float, tile: Tile, statistics: Statistics) -> Array:
    """Blend one tile of the two sources; t = 0 returns the first source, and t = 1 the second.

    A source with the factor 0 is ignored, even if it contains a NaN or an infinity.
    """
    return tile.backend.combine(_compute_factors(t, statistics[0]), tile.sources)


def _compute_factors(t: float, products: Sequence[float]) -> tuple[float, float]:
    """The factors on the first and on the second source; t = 0 is the first source, and t = 1 the second.

    `products` has the sums that `_measure` returns. Interpolation is linear if the sources are nearly parallel, or if a
    norm is 0 or not finite.
    """
    cosine = _compute_cosine(*products)
    if cosine is None or abs(cosine) > _PARALLEL or t in (0.0, 1.0):
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _compute_cosine(ab: float, aa: float, bb: float) -> float | None:
    norms = math.sqrt(aa) * math.sqrt(bb)
    return ab / norms if 0.0 < norms < math.inf and math.isfinite(ab) else None


OP = Op(
    name="slerp",
    summary="spherical interpolation between two sources",
    formula="sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, θ the angle of a and b; (1−t)a + tb where |cos θ| > 0.9995",
    source="Shoemake, Animating rotation with quaternion curves (SIGGRAPH 1985), section 3.3",
    arity=(2, 2),
    parameters=(
        OpParameter("t", float, None, "0 is the first source, 1 the second", low=0.0, high=1.0, extrapolates=True),
    ),
    make=_make,
    passes=(1, 1),
    ramp="t",
)
