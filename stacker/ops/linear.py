"""The op `linear`: the weighted sum of the sources, by default divided by the sum of the weights.

See Wortsman et al., Model soups (ICML 2022), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Kernel, Op, OpParameter, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    weights = [float(values["weight"]) for values in each]
    total = sum(weights) if own["normalize"] else 1.0
    return Kernel(partial(_combine, [weight / total for weight in weights]))


def _combine(factors: Sequence[float], tile: Tile, _statistics: Statistics) -> Array:
    return tile.backend.combine(factors, tile.sources)


def _check(own: Values, each: Sequence[Values]) -> Iterator[str]:
    weights = [float(values["weight"]) for values in each]
    if own["normalize"] and abs(math.fsum(weights)) <= 1e-9 * sum(abs(weight) for weight in weights):
        yield "the weights add up to 0, so they have no mean"


OP = Op(
    name="linear",
    summary="weighted mean of any number of sources",
    formula="Σ wᵢxᵢ / Σ wᵢ; without normalize Σ wᵢxᵢ",
    source="Wortsman et al., Model soups (ICML 2022), section 2, arXiv:2203.05482",
    arity=(1, None),
    parameters=(
        OpParameter("weight", float, 1.0, "the weight of this source", per_source=True),
        OpParameter("normalize", bool, True, "divide by the sum of the weights"),
    ),
    make=_make,
    ramp="weight",
    check=_check,
)
