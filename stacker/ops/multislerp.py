"""The op `multislerp`: the weighted mean of the sources' directions, times the weighted mean of the sources' norms.

See Goddard, Multi-SLERP (2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import Gram, build_gram, combine_deltas, inner_product, measure_inner_products
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    weights = [float(values["weight"]) for values in each]
    total = math.fsum(weights) if own["normalize_weights"] else 1.0
    shares = [weight / total for weight in weights]
    find_factors = partial(_find_factors, shares, float(own["eps"]))
    return Kernel(_apply, (Pass(measure_inner_products, lambda sums, _statistics: find_factors(build_gram(sums))),))


def _apply(tile: Tile, statistics: Statistics) -> Array:
    return combine_deltas(statistics[0], tile)


def _find_factors(weights: Sequence[float], eps: float, table: Gram) -> list[float]:
    """The factor by which each source is multiplied in the result; `table` is the Gram matrix of the sources.

    If there is only one source, or if the weighted directions cancel out, the factors are the weights.
    """
    norms = [math.sqrt(table[i][i]) for i in range(len(weights))]
    # Averaging the directions in the tangent plane at their weighted mean always results in that weighted mean itself.
    mean = [weight / (norm + eps) for weight, norm in zip(weights, norms, strict=True)]
    length = math.sqrt(max(inner_product(mean, mean, table), 0.0))
    if len(weights) == 1 or not length >= eps:
        return list(weights)
    size = sum(weight * norm for weight, norm in zip(weights, norms, strict=True))
    return [size * factor / length for factor in mean]


def _check(own: Values, each: Sequence[Values]) -> Iterator[str]:
    weights = [float(values["weight"]) for values in each]
    if own["normalize_weights"] and abs(math.fsum(weights)) <= 1e-9 * sum(abs(weight) for weight in weights):
        yield "the weights add up to 0, so they have no mean"


OP = Op(
    name="multislerp",
    summary="the weighted mean of any number of sources on the sphere",
    formula="Σ wᵢ‖xᵢ‖ · m / ‖m‖, m = Σ wᵢxᵢ/‖xᵢ‖; with a base of the differences from it",
    source="Goddard, Multi-SLERP (2025), goddard.blog",
    arity=(1, None),
    parameters=(
        OpParameter("weight", float, 1.0, "the weight of this source", per_source=True),
        OpParameter("normalize_weights", bool, True, "divide the weights by their sum"),
        OpParameter("eps", float, 1e-8, "vectors with a norm below this have no direction", low=0.0),
    ),
    make=_make,
    passes=(1, 1),
    base=Base.OPTIONAL,
    ramp="weight",
    check=_check,
)
