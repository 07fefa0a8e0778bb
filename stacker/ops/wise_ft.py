"""The op `wise_ft`: linear interpolation between the base and one source x, (1 − alpha) · base + alpha · x.

See Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import combine_deltas
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_interpolate, float(own["alpha"])))


def _interpolate(alpha: float, tile: Tile, _statistics: Statistics) -> Array:
    """Blend one tile; alpha = 1 returns exactly the source, and alpha = 0 exactly the base."""
    return tile.sources[0] if alpha == 1.0 else combine_deltas([alpha], tile)


OP = Op(
    name="wise_ft",
    summary="interpolation between the base and one source",
    formula="(1−alpha) · base + alpha · x",
    source="Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022), section 3, arXiv:2109.01903",
    arity=(1, 1),
    parameters=(OpParameter("alpha", float, 0.5, "0 is the base, 1 the source", low=0.0, high=1.0, extrapolates=True),),
    make=_make,
    base=Base.REQUIRED,
)
