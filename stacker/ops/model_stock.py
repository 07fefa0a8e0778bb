"""The op `model_stock`: base + t · (mean of the sources − base), where t depends on the angles between the deltas.

A delta is a source's difference from the base. See Jang et al., Model Stock (ECCV 2024), equation 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stacker.ops.shared.combination import add_base, combine_deltas, list_pairs, measure_inner_products, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Pass, Statistics, Tile, Values

if TYPE_CHECKING:
    import numpy as np

    from stacker.arithmetic.backend import Array

_SINGULAR = 1e-6
"""If the magnitude of 1 + (N−1) cos θ, the denominator of t, is below this, t is 0 and the result is the base."""


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(_apply_rows) if own["filter_wise"] else Kernel(_apply_whole, (Pass(measure_inner_products, _find_t),))


def _count_passes(own: Values, _each: Sequence[Values]) -> int:
    return 0 if own["filter_wise"] else 1


def _find_t(sums: Sequence[float], _statistics: Statistics) -> float:
    """The factor t for the whole tensor.

    `sums` has the inner product of each pair of deltas (differences from the base), in the order of `list_pairs`.
    """
    import numpy as np

    return float(_compute_t(np.array(sums)))


def _apply_whole(tile: Tile, statistics: Statistics) -> Array:
    count = len(tile.sources)
    return combine_deltas([statistics[0] / count] * count, tile)


def _apply_rows(tile: Tile, _statistics: Statistics) -> Array:
    import numpy as np

    deltas = subtract_base(tile)
    t = _compute_t(tile.backend.row_inner_products(deltas, tile.row)) / len(deltas)
    return add_base(tile.backend.combine_rows(np.stack([t] * len(deltas)), deltas, tile.row), tile)


def _compute_t(products: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The factor t = N cos θ / (1 + (N−1) cos θ) for N sources; cos θ is the mean cosine between two different deltas.

    `products` has the inner product of each pair of deltas along its first dimension, in the order of `list_pairs`; the
    result has the remaining dimensions.
    """
    import numpy as np

    at = {pair: number for number, pair in enumerate(list_pairs(len(products)))}
    count = max(i for i, _ in at) + 1
    with np.errstate(all="ignore"):
        cosines = [products[at[i, j]] / np.sqrt(products[at[i, i]] * products[at[j, j]]) for i, j in at if i < j]
        cosine = np.nan_to_num(cosines, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0).mean(axis=0)
        below = 1.0 + (count - 1) * cosine
        return np.where(np.abs(below) < _SINGULAR, 0.0, count * cosine / below)


OP = Op(
    name="model_stock",
    summary="from the base towards the average, by the angle between the sources' differences from it",
    formula="base + t(mean xᵢ − base), t = N cos θ / (1 + (N−1) cos θ)",
    source="Jang et al., Model Stock: all we need is just a few fine-tuned models (ECCV 2024), eq. 2, arXiv:2403.19522",
    arity=(2, None),
    parameters=(OpParameter("filter_wise", bool, False, "use an angle for each row, not one for the tensor"),),
    make=_make,
    base=Base.REQUIRED,
    passes=(0, 1),
    count_passes=_count_passes,
    whole_rows=True,
)
