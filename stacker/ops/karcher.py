"""The op `karcher`: the Riemannian (Karcher) mean of the sources' directions, times the mean of the sources' norms.

See Karcher, Riemannian center of mass (Comm. Pure Appl. Math. 1977), and for merging models arXiv:2603.04972.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import Gram, build_gram, inner_product, measure_inner_products
from stacker.ops.shared.op import Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array

Vector = list[float]
"""A weighted sum of the sources, represented by the list of its weights, one weight for each source."""


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    find_factors = partial(_find_factors, int(own["max_iter"]), float(own["tol"]))
    return Kernel(_apply, (Pass(measure_inner_products, lambda sums, _statistics: find_factors(build_gram(sums))),))


def _apply(tile: Tile, statistics: Statistics) -> Array:
    return tile.backend.combine(statistics[0], tile.sources)


def _find_factors(most: int, tol: float, table: Gram) -> Vector:
    """The factor by which each source is multiplied in the result, found by gradient descent in at most `most` steps.

    `table` is the Gram matrix of the sources, which is enough because every step is a weighted sum of the sources.
    Steps, angles and norms below `tol` count as 0.
    """
    count = len(table)
    norms = [math.sqrt(table[i][i]) for i in range(count)]
    units = [_basis_vector(count, i, 1.0 / norms[i]) for i in range(count) if norms[i] > tol]
    if count == 1 or not units:
        return [1.0 / count] * count
    mean = _normalize(_add_up([(1.0 / len(units), unit) for unit in units]), table, tol) or units[0]
    for _ in range(most):
        tangent = _compute_tangent(mean, units, table, tol)
        length = _compute_norm(tangent, table)
        if not length >= tol:
            break
        mean = _add_up([(math.cos(length), mean), (math.sin(length) / length, tangent)])
        mean = _normalize(mean, table, tol) or mean
    return [math.fsum(norms) / count * factor for factor in mean]


def _compute_tangent(mean: Vector, units: Sequence[Vector], table: Gram, tol: float) -> Vector:
    """The mean, over the unit vectors u in `units`, of the tangent vector at `mean` that points along the sphere to u.

    Each tangent vector is as long as the angle between `mean` and u, and counts as 0 if that angle is 180° or below
    `tol`. `table` is the Gram matrix of the sources.
    """
    parts: list[tuple[float, Vector]] = [(0.0, mean)]
    for unit in units:
        cosine = min(max(inner_product(mean, unit, table), -1.0), 1.0)
        angle = math.acos(cosine)
        if tol <= angle < math.pi:
            share = angle / math.sin(angle) / len(units)
            parts += [(share, unit), (-share * cosine, mean)]
    return _add_up(parts)


def _basis_vector(count: int, at: int, value: float) -> Vector:
    return [value if number == at else 0.0 for number in range(count)]


def _add_up(parts: Sequence[tuple[float, Vector]]) -> Vector:
    return [math.fsum(column) for column in zip(*([share * x for x in vector] for share, vector in parts), strict=True)]


def _compute_norm(vector: Vector, table: Gram) -> float:
    return math.sqrt(max(inner_product(vector, vector, table), 0.0))


def _normalize(vector: Vector, table: Gram, tol: float) -> Vector | None:
    length = _compute_norm(vector, table)
    return [x / length for x in vector] if length > tol else None


OP = Op(
    name="karcher",
    summary="the Riemannian mean of any number of sources on the sphere",
    formula="mean ‖xᵢ‖ · argmin Σ angle(m, xᵢ)² over ‖m‖ = 1",
    source="Karcher, Riemannian center of mass (Comm. Pure Appl. Math. 1977); for merging arXiv:2603.04972",
    arity=(1, None),
    parameters=(
        OpParameter("max_iter", int, 10, "the greatest number of iterations", low=1),
        OpParameter("tol", float, 1e-5, "steps, angles and norms below this count as 0", low=0.0),
    ),
    make=_make,
    passes=(1, 1),
)
